//! What can be said of a model before a job: its layers, groups, costs and limits. Nothing is kept for later stages.

use secateur_core::group::Grouping;
use secateur_core::summary;
use secateur_core::task::{InspectResult, TaskResult, file};

use super::{Finished, Task, import};
use crate::error::Error;

pub fn run(task: &Task) -> Result<Finished, Error> {
    let graph = import::import(task)?.graph;
    let grouping = Grouping::of(&graph);
    let summary = summary::summarise(&graph, &grouping);
    task.write_json(file::SUMMARY, &summary)?;
    let result = InspectResult { base: summary.base, groups: grouping.groups().len() };
    Ok(Finished::new(TaskResult::Inspect(result), [file::SUMMARY]))
}

//! What can be said of a model before a job: its layers, groups, costs and limits. Nothing is kept for later stages.

use secateur_core::group::Grouping;
use secateur_core::stage::Stage;
use secateur_core::summary;
use secateur_core::task::{InspectResult, TaskResult, file};

use super::{Finished, Task, import};
use crate::deadline;
use crate::error::Error;

pub fn run(task: &Task) -> Result<Finished, Error> {
    let graph = import::import(task, Stage::Inspect)?.graph;
    let summarise = || {
        let grouping = Grouping::of(&graph);
        (summary::summarise(&graph, &grouping), grouping.groups().len())
    };
    let summarised = deadline::within(import::LONGEST_INSPECTION, "Grouping the channels", task.messages, summarise)?;
    let (summary, groups) = summarised.map_err(|panic| import::given_up(&panic))?;
    task.write_json(file::SUMMARY, &summary)?;
    let result = InspectResult { base: summary.base, groups };
    Ok(Finished::new(TaskResult::Inspect(result), [file::SUMMARY]))
}

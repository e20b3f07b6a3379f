//! Coupled groups, costs and limits of the imported model. Pure arithmetic on the graph; no tensor is read.

use secateur_core::candidate::Limits;
use secateur_core::group::Grouping;
use secateur_core::measurement;
use secateur_core::search::additive;
use secateur_core::summary;
use secateur_core::task::{GraphResult, TaskResult, file};

use super::{Finished, Task};
use crate::error::Error;

pub fn run(task: &Task) -> Result<Finished, Error> {
    let graph = task.graph()?;
    let grouping = Grouping::of(&graph);
    let summary = summary::summarise(&graph, &grouping);
    task.write_json(file::SUMMARY, &summary)?;
    let reachable = secateur_core::candidate::check_reachable(&graph, &grouping, task.spec)?;
    let limits = Limits::new(&graph, &grouping, &task.spec.constraints)?;
    let result = GraphResult {
        base: summary.base,
        groups: grouping.groups().len(),
        channels: summary.base.channels,
        reachable,
        grouping: measurement::digest(&summary.groups),
        probes: additive::probes(&limits),
    };
    Ok(Finished::new(TaskResult::Graph(result), [file::SUMMARY]))
}

//! Coupled groups, costs and limits of the imported model. Pure arithmetic on the graph; no tensor is read.

use secateur_core::candidate::{Limits, check_reachable};
use secateur_core::cost::CostModel;
use secateur_core::group::Grouping;
use secateur_core::importance::groups_without;
use secateur_core::measurement;
use secateur_core::rejection::{Code, Rejection};
use secateur_core::search::additive;
use secateur_core::spec::Metric;
use secateur_core::summary;
use secateur_core::task::{GraphResult, TaskResult, file};

use super::{Finished, Task};
use crate::error::Error;

pub fn run(task: &Task) -> Result<Finished, Error> {
    let graph = task.graph()?;
    let grouping = Grouping::of(&graph);
    let summary = summary::summarise(&graph, &grouping);
    task.write_json(file::SUMMARY, &summary)?;
    let criterion = task.spec.importance.criterion;
    let limits = Limits::new(&graph, &grouping, &task.spec.constraints)?;
    if groups_without(criterion, &graph, &grouping).len() == grouping.groups().len() {
        return Err(Rejection::new(
            Code::InvalidSpec,
            format!("`importance.criterion` `{}` finds nothing to measure in any channel group.", criterion.as_str()),
        )
        .at("importance.criterion")
        .hint("`bn_scale` needs batch norms; `l1` needs nothing but weights")
        .into());
    }
    // Latency is not known before it has been measured.
    let reachable = match task.spec.target.metric {
        Metric::Latency => None,
        _ => Some(check_reachable(&graph, &grouping, &CostModel::of(&graph, &grouping), task.spec)?),
    };
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

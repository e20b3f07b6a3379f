//! Coupled groups, costs and limits of the imported model. Pure arithmetic on the graph; no tensor is read.

use secateur_core::configuration::Limits;
use secateur_core::cost::{CostModel, Metric};
use secateur_core::digest::digest;
use secateur_core::group::Grouping;
use secateur_core::importance::groups_without;
use secateur_core::inspection::summarise;
use secateur_core::method::check_reachable;
use secateur_core::rejection::{Code, Rejection};
use secateur_core::search::ranking::sensitivity;
use secateur_core::stage::graph::{GraphResult, SUMMARY};

use super::task::Task;
use crate::error::Error;

/// Finds the coupled groups, the costs and the limits.
///
/// # Errors
/// The target cannot be reached, or the spec does not fit the network.
pub(super) fn run(task: &Task, _work: &()) -> Result<GraphResult, Error> {
    let graph = task.graph()?;
    let grouping = Grouping::of(&graph);
    let summary = summarise(&graph, &grouping);
    task.write_json(SUMMARY, &summary)?;
    let criterion = task.spec.importance.criterion;
    let limits = Limits::new(&graph, &grouping, &task.spec.constraints)?;
    if groups_without(criterion, &graph, &grouping).len() == grouping.groups().len() {
        return Err(Rejection::new(
            Code::InvalidSpec,
            format!("`importance.criterion` `{}` finds nothing to measure in any channel group.", criterion.as_str()),
        )
        .at("importance.criterion")
        .hint("Choose `l1`, which needs nothing but weights; `bn_scale` needs batch norms.")
        .into());
    }
    // Latency is not known before it has been measured.
    let reachable = match task.spec.target.metric {
        Metric::Latency => None,
        _ => Some(check_reachable(&graph, &grouping, &CostModel::of(&graph, &grouping), task.spec)?),
    };
    Ok(GraphResult {
        base: summary.base,
        groups: grouping.groups().len(),
        channels: summary.base.channels,
        reachable,
        grouping: digest(&summary.groups),
        probes: sensitivity::probes(&limits),
    })
}

//! How much of a metric a job may remove at most.

use crate::configuration::{Constraints, Limits};
use crate::cost::{CostModel, Metric, reduction};
use crate::graph::Graph;
use crate::group::Grouping;
use crate::rejection::{Code, Rejection};
use crate::spec::{JobSpec, Method, TARGET_TOLERANCE, Target};

/// On two idle cores a small network spends most of its time on handing work from one to the other.
const FEWER_THREADS: &str = " With fewer threads more of the latency depends on the widths: `secateur prune --threads 1`, or a \
                             worker with more `--slots`.";

/// The largest share of a metric that the constraints allow. `costs` are the graph's; where the metric is latency, with
/// latency.
///
/// # Errors
/// [`Code::NothingPrunable`], or a constraint that names no layer.
pub fn reachable(
    graph: &Graph,
    grouping: &Grouping,
    costs: &CostModel,
    constraints: &Constraints,
    metric: Metric,
) -> Result<f64, Rejection> {
    let limits = Limits::new(graph, grouping, constraints)?;
    Ok(reduction(metric, costs.full(), costs.at(&limits.least())))
}

/// Refuses a target beyond what the constraints allow. `costs` as for [`reachable`].
///
/// # Errors
/// [`Code::TargetUnreachable`] with the reachable maximum.
pub fn check_reachable(
    graph: &Graph,
    grouping: &Grouping,
    costs: &CostModel,
    spec: &JobSpec,
) -> Result<f64, Rejection> {
    let Target { metric, reduction: target, .. } = spec.target;
    let reachable = match reachable(graph, grouping, costs, &spec.constraints, metric) {
        // A replayed configuration asks for no reduction of its own, so nothing is enough.
        Err(rejection) if rejection.code == Code::NothingPrunable && spec.method == Method::Config => 0.0,
        reachable => reachable?,
    };
    if spec.method != Method::Config && target.get() > reachable + TARGET_TOLERANCE {
        let field = metric.field();
        return Err(Rejection::new(
            Code::TargetUnreachable,
            format!(
                "`target.{field}` {} cannot be reached: the constraints allow at most {} %.",
                target.get(),
                (reachable * 10_000.0).floor() / 100.0
            ),
        )
        .hint(format!(
            "Ask for at most {:.2}, raise `constraints.max_layer_reduction` (now {}), or shorten `constraints.ignore`.{}",
            (reachable * 100.0).floor() / 100.0,
            spec.constraints.max_layer_reduction.get(),
            if metric == Metric::Latency { FEWER_THREADS } else { "" },
        )));
    }
    Ok(reachable)
}

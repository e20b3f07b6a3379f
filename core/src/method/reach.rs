//! How much of a metric a job may remove at most.

use crate::configuration::{Constraints, Limits};
use crate::cost::{CostModel, Metric, reduction};
use crate::graph::Graph;
use crate::group::Grouping;
use crate::rejection::{Code, Rejection};
use crate::spec::{JobSpec, Method, TARGET_TOLERANCE, Target};

/// What may be asked for, and what may be changed so that more is reachable.
fn hint(spec: &JobSpec, reachable: f64) -> String {
    let most = (reachable * 100.0).floor() / 100.0;
    let limit = spec.constraints.max_layer_reduction.get();
    let mut ways = Vec::new();
    if most > 0.0 {
        ways.push(format!("ask for at most {most:.2}"));
    }
    if limit < 1.0 {
        ways.push(format!("raise `constraints.max_layer_reduction` (now {limit})"));
    }
    if !spec.constraints.ignore.is_empty() {
        ways.push("shorten `constraints.ignore`".to_owned());
    }
    let mut hint = match &ways[..] {
        [] => "`secateur inspect` lists every layer with the reason why it cannot be pruned.".to_owned(),
        [way] => format!("{way}."),
        [ways @ .., last] => format!("{}, or {last}.", ways.join(", ")),
    };
    if let Some(first) = hint.get_mut(0..1) {
        first.make_ascii_uppercase();
    }
    if spec.target.metric == Metric::Latency {
        hint.push_str(FEWER_THREADS);
    }
    hint
}

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
        .hint(hint(spec, reachable)));
    }
    Ok(reachable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint_of(target: &str, constraints: &str, reachable: f64) -> String {
        let spec = format!(r#"{{"target": {{"{target}": 0.9}}, "constraints": {constraints}}}"#);
        hint(&JobSpec::from_json(&spec).unwrap(), reachable)
    }

    #[test]
    fn the_hint_names_only_what_helps() {
        let limited = r#"{"max_layer_reduction": 0.5, "ignore": ["head"]}"#;
        assert_eq!(
            hint_of("flops_reduction", limited, 0.4567),
            "Ask for at most 0.45, raise `constraints.max_layer_reduction` (now 0.5), or shorten `constraints.ignore`."
        );
        let free = r#"{"max_layer_reduction": 1.0}"#;
        assert_eq!(hint_of("flops_reduction", free, 0.3), "Ask for at most 0.30.");
        assert!(hint_of("flops_reduction", free, 0.001).starts_with("`secateur inspect` lists"));
        assert!(hint_of("latency_reduction", free, 0.3).contains("0.30. With fewer threads"));
    }
}

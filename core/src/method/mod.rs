//! The methods that need no search: `uniform`, `global_l1`, `global_l2` and `config`.
//!
//! [`propose`] is the door: `allocate` finds widths within the limits whose cost meets the target, and the importance order
//! fills them; `replay` takes a configuration as it is. [`reach`] says how much a job may remove at most.

mod allocate;
mod reach;
mod replay;

use crate::configuration::{Candidate, Configuration, Limits};
use crate::cost::{CostModel, reduction};
use crate::graph::Graph;
use crate::group::Grouping;
use crate::importance::{Criterion, Evidence, Importance, ImportanceSpec, OnSamples, Weights};
use crate::rejection::{Code, Rejection};
use crate::spec::{JobSpec, Method, TARGET_TOLERANCE};

pub use reach::{check_reachable, reachable};

/// The configurations that the spec's method proposes; one for the classical methods. `costs` as for [`reachable`].
///
/// # Errors
/// [`Code::TargetUnreachable`], [`Code::NothingPrunable`], or [`Code::InvalidSpec`] for constraints and replayed
/// configurations that do not fit the network.
pub fn propose(
    graph: &Graph,
    grouping: &Grouping,
    costs: &CostModel,
    weights: &Weights,
    spec: &JobSpec,
) -> Result<Vec<Candidate>, Rejection> {
    let Some(origin) = spec.method.origin() else {
        return Err(Rejection::new(Code::InvalidSpec, "`method: \"sacp\"` searches; it proposes nothing by itself."));
    };
    let configuration = match (spec.method, &spec.config) {
        (Method::Config, Some(config)) => replay::replayed(grouping, config)?,
        (Method::Config, None) => {
            return Err(Rejection::new(Code::InvalidSpec, "`method: \"config\"` needs `config`.").at("config"));
        }
        (Method::Uniform | Method::GlobalL1 | Method::GlobalL2 | Method::Sacp, _) => {
            check_reachable(graph, grouping, costs, spec)?;
            let limits = Limits::new(graph, grouping, &spec.constraints)?;
            let criterion = match spec.method {
                Method::GlobalL2 => Criterion::L2,
                Method::Uniform | Method::GlobalL1 | Method::Config | Method::Sacp => Criterion::L1,
            };
            let evidence = Evidence { graph, grouping, weights, on_samples: OnSamples::Nothing };
            let importance = Importance::measure(&evidence, ImportanceSpec::plain(criterion));
            let problem = allocate::Problem { costs, limits: &limits, target: &spec.target };
            let widths = match spec.method {
                Method::Uniform => allocate::uniform(&problem),
                Method::GlobalL1 | Method::GlobalL2 | Method::Config | Method::Sacp => {
                    allocate::global(&problem, &importance)
                }
            };
            refuse_a_miss(spec, reduction(spec.target.metric, costs.full(), costs.at(&widths)))?;
            Configuration::by_importance(&importance, &widths)
        }
    };
    Ok(vec![Candidate::new(0, origin, configuration, costs)])
}

/// Rounding can leave no configuration near the target.
fn refuse_a_miss(spec: &JobSpec, reached: f64) -> Result<(), Rejection> {
    let target = spec.target.reduction.get();
    if (reached - target).abs() <= TARGET_TOLERANCE {
        return Ok(());
    }
    Err(Rejection::new(
        Code::TargetUnreachable,
        format!(
            "No configuration of {} lies within one percentage point of `target.{}` {target}; the nearest removes {reached:.4}.",
            spec.method.as_str(),
            spec.target.metric.field(),
        ),
    )
    .hint(match spec.constraints.round_to.get() {
        1 => format!("Ask for {reached:.3}."),
        multiple => format!("Ask for {reached:.3}, or lower `constraints.round_to` (now {multiple})."),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::Metric;
    use crate::surgery;
    use crate::testing::Net;

    /// A small residual network with random weights from a fixed sequence.
    fn network() -> (Graph, Weights) {
        let mut net = Net::new(&[3, 8, 8]);
        net.conv("stem", 16, 3, 1);
        for block in 0..3 {
            let stream = net.here();
            net.conv(&format!("blocks.{block}.a"), 24, 3, 1)
                .relu()
                .conv(&format!("blocks.{block}.b"), 16, 3, 1)
                .add(stream);
        }
        net.mean(&[2, 3], false).linear("fc", 10);
        let graph = net.graph();
        let mut state = 1u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f32::from((state >> 16) as u16) / 65_536.0 - 0.5
        };
        let weights = graph
            .parameters()
            .iter()
            .map(|parameter| {
                let elements = graph.value(parameter.value).shape.iter().map(|size| size.fixed as usize).product();
                (parameter.name.clone(), (0..elements).map(|_| next()).collect())
            })
            .collect();
        (graph, weights)
    }

    fn propose_with(spec: &str) -> Result<Candidate, Rejection> {
        let (graph, weights) = network();
        let grouping = Grouping::of(&graph);
        let spec = JobSpec::from_json(spec)?;
        let costs = CostModel::of(&graph, &grouping);
        Ok(propose(&graph, &grouping, &costs, &weights, &spec)?.remove(0))
    }

    #[test]
    fn every_method_meets_every_kind_of_target_within_a_percentage_point() {
        let (graph, _) = network();
        let full = CostModel::of(&graph, &Grouping::of(&graph)).full();
        for method in ["uniform", "global_l1", "global_l2"] {
            for metric in Metric::COUNTED {
                for share in [0.1, 0.5, 0.8] {
                    let field = metric.field();
                    let spec = format!(r#"{{"target": {{"{field}": {share}}}, "method": "{method}"}}"#);
                    let candidate = propose_with(&spec).unwrap();
                    let reached = reduction(metric, full, candidate.costs());
                    assert!((reached - share).abs() <= TARGET_TOLERANCE, "{method} {field} {share}: {reached}");
                }
            }
        }
    }

    #[test]
    fn uniform_removes_about_the_same_share_of_every_group() {
        let candidate = propose_with(r#"{"target": {"channel_reduction": 0.5}, "method": "uniform"}"#).unwrap();
        assert_eq!(candidate.configuration.widths(), [8, 12, 12, 12]);
    }

    #[test]
    fn a_target_beyond_the_limits_names_the_reachable_maximum() {
        let spec = r#"{"target": {"flops_reduction": 0.9}, "method": "global_l2", "constraints": {"max_layer_reduction": 0.5}}"#;
        let error = propose_with(spec).unwrap_err();
        assert_eq!(error.code, Code::TargetUnreachable);
        assert!(
            error.detail.contains("flops_reduction") && error.detail.contains("allow at most 7"),
            "{}",
            error.detail
        );
    }

    #[test]
    fn rounding_keeps_multiples_or_says_that_no_configuration_is_near() {
        let spec = r#"{"target": {"flops_reduction": 0.5}, "method": "global_l2", "constraints": {"round_to": 8}}"#;
        match propose_with(spec) {
            Ok(candidate) => assert!(candidate.configuration.widths().iter().all(|width| width % 8 == 0)),
            Err(error) => assert!(error.detail.contains("nearest removes"), "{}", error.detail),
        }
        let spec = r#"{"target": {"flops_reduction": 0.3}, "constraints": {"round_to": 16}, "method": "uniform"}"#;
        let error = propose_with(spec).unwrap_err();
        assert!(error.detail.contains("nearest removes"), "{}", error.detail);
        assert!(error.hint.unwrap().contains("or lower `constraints.round_to` (now 16)"));
    }

    /// Single channels of these networks cost up to a tenth of the multiply-accumulates, so that steps of several groups have to be
    /// combined.
    #[test]
    fn whatever_some_widths_reach_is_reached_by_every_method() {
        let mut reached = 0;
        for channels in [[5, 7, 6], [4, 9, 5], [6, 5, 11]] {
            let mut net = Net::new(&[3, 8, 8]);
            for (layer, width) in channels.into_iter().enumerate() {
                net.conv(&format!("layers.{layer}"), width, 3, 1).relu();
            }
            net.conv("head", 4, 1, 1);
            let graph = net.graph();
            let grouping = Grouping::of(&graph);
            let costs = CostModel::of(&graph, &grouping);
            let element = |index: usize| ((index * 2_654_435_761) % 1000) as f32 / 1000.0;
            let weights: Weights = graph
                .parameters()
                .iter()
                .map(|parameter| {
                    let shape = &graph.value(parameter.value).shape;
                    let elements = shape.iter().map(|size| size.fixed as usize).product();
                    (parameter.name.clone(), (0..elements).map(element).collect())
                })
                .collect();
            let [a, b, c] = channels.map(|width| 1..=width as usize);
            let all: Vec<f64> = a
                .flat_map(|a| b.clone().map(move |b| (a, b)))
                .flat_map(|(a, b)| c.clone().map(move |c| [a, b, c]))
                .map(|widths| reduction(Metric::Flops, costs.full(), costs.at(&widths)))
                .collect();
            for target in (10..85).map(|percent| f64::from(percent) / 100.0) {
                let is_reached = all.iter().any(|removed| (removed - target).abs() <= TARGET_TOLERANCE);
                for method in ["uniform", "global_l1", "global_l2"] {
                    let spec = format!(r#"{{"target": {{"flops_reduction": {target}}}, "method": "{method}"}}"#);
                    let found = propose(&graph, &grouping, &costs, &weights, &JobSpec::from_json(&spec).unwrap());
                    assert_eq!(found.is_ok(), is_reached, "{method} {target} of {channels:?}: {found:?}");
                    reached += usize::from(is_reached);
                }
            }
        }
        assert!(reached > 500, "{reached}");
    }

    #[test]
    fn a_hint_does_not_ask_for_less_rounding_than_none() {
        let spec = JobSpec::from_json(r#"{"target": {"flops_reduction": 0.3}}"#).unwrap();
        assert_eq!(refuse_a_miss(&spec, 0.617).unwrap_err().hint.as_deref(), Some("Ask for 0.617."));
    }

    #[test]
    fn random_channels_differ_by_draw_and_fit_the_network_at_the_same_widths() {
        use rand::SeedableRng;
        let (graph, _) = network();
        let grouping = Grouping::of(&graph);
        let mut generator = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        let mut draw = || Configuration::random(&grouping, &[8, 12, 24, 1], &mut generator);
        let (first, second) = (draw(), draw());
        assert_ne!(first, second);
        for configuration in [first, second] {
            surgery::check(&grouping, &configuration).unwrap();
            assert_eq!(configuration.widths(), [8, 12, 24, 1]);
        }
    }

    #[test]
    fn a_replayed_configuration_keeps_the_same_channels() {
        let (graph, _) = network();
        let first = propose_with(r#"{"target": {"flops_reduction": 0.6}, "method": "global_l2"}"#).unwrap();
        let config = serde_json::to_string(&first.configuration.replay(&Grouping::of(&graph))).unwrap();
        let spec = format!(r#"{{"target": {{"flops_reduction": 0.6}}, "method": "config", "config": {config}}}"#);
        assert_eq!(propose_with(&spec).unwrap().configuration, first.configuration);
        let spec = r#"{"target": {"flops_reduction": 0.6}, "method": "config", "config": {"format": 1, "groups": {"x": [0]}}}"#;
        assert!(propose_with(spec).unwrap_err().detail.contains("`x`"));
    }
}

//! Configurations: which channels of every coupled group remain, and how the classical methods choose them.
//!
//! [`propose`] is the search of the methods that need none: [`limits`] turns constraints into the widths that each
//! group may take, [`allocate`] finds widths whose cost meets the target, and the importance order fills them.

mod allocate;
mod limits;

use std::collections::BTreeMap;

use rand::Rng;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::cost::{CostModel, reduction};
use crate::graph::Graph;
use crate::group::{Group, Grouping};
use crate::importance::{Criterion, Evidence, Importance, Weights};
use crate::rejection::{Code, Rejection};
use crate::report::Costs;
use crate::spec::{Constraints, ImportanceSpec, JobSpec, Method, Metric, Target};
use crate::surgery;

pub use limits::Limits;

/// Which channels of every group remain; the one thing that a search decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configuration {
    /// For each group, in the order of [`crate::group::Grouping::groups`], the kept channels, ascending, never empty.
    pub keep: Vec<Vec<u32>>,
}

impl Configuration {
    /// Kept channels of each group.
    pub fn widths(&self) -> Vec<usize> {
        self.keep.iter().map(Vec::len).collect()
    }

    /// The most important channels at these widths.
    pub fn by_importance(importance: &Importance, widths: &[usize]) -> Self {
        let keep = widths.iter().enumerate().map(|(group, &width)| importance.most_important(group, width));
        Self { keep: keep.collect() }
    }

    /// Random channels at these widths.
    pub fn random(grouping: &Grouping, widths: &[usize], generator: &mut impl Rng) -> Self {
        let choose = |(group, &width): (&Group, &usize)| {
            let mut channels: Vec<u32> = (0..group.channels() as u32).collect();
            let (chosen, _) = channels.partial_shuffle(generator, width);
            chosen.sort_unstable();
            chosen.to_vec()
        };
        Self { keep: grouping.groups().iter().zip(widths).map(choose).collect() }
    }

    /// The replayable form, by group name.
    pub fn replay(&self, grouping: &Grouping) -> ReplayConfig {
        let groups = grouping.groups().iter().zip(&self.keep).map(|(group, keep)| (group.name.clone(), keep.clone()));
        ReplayConfig { format: ReplayConfig::FORMAT, groups: groups.collect() }
    }
}

/// A configuration with what it costs and where it came from; `candidates.json` is a list of these.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    pub index: usize,
    /// What proposed it: a method (`uniform`, `global_l1`, `global_l2`, `config`), a ranking of `sacp` (`similarity`, `calibrated`,
    /// `regression`), or `sensitivity`, its greedy allocation.
    pub origin: String,
    pub configuration: Configuration,
    pub macs: u64,
    pub params: u64,
    pub channels: u64,
    /// As [`Costs::latency_ms`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
    /// Cosine between its embedding and the unpruned network's; with `sacp` and a contrastive encoder only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub similarity: Option<f64>,
    /// Predicted KL divergence of its outputs from the original's, nats; with `sacp` and a data set only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicted_divergence: Option<f64>,
    /// What the encoder predicts of it, in the unit that it was fitted to; with `encoder.objective` `regression` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicted_value: Option<f64>,
}

impl Candidate {
    pub fn new(index: usize, origin: &str, configuration: Configuration, costs: &CostModel) -> Self {
        let Costs { macs, params, channels, latency_ms } = costs.at(&configuration.widths());
        Self {
            index,
            origin: origin.to_owned(),
            configuration,
            macs,
            params,
            channels,
            latency_ms,
            similarity: None,
            predicted_divergence: None,
            predicted_value: None,
        }
    }

    pub fn costs(&self) -> Costs {
        Costs { macs: self.macs, params: self.params, channels: self.channels, latency_ms: self.latency_ms }
    }
}

/// The content of `config.json`: a configuration by group name, replayable on the same model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplayConfig {
    pub format: u32,
    /// Group name to the kept channels, ascending; a group that is not named keeps all.
    pub groups: BTreeMap<String, Vec<u32>>,
}

impl ReplayConfig {
    pub const FORMAT: u32 = 1;
}

/// How far a configuration's reduction may lie from the target: one percentage point.
pub const TARGET_TOLERANCE: f64 = 0.01;

/// The largest share of a metric that the constraints let go. `costs` are the graph's; where the metric is latency, with
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

/// Refuses a target beyond what the constraints let go. `costs` as for [`reachable`].
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
                "`target.{field}` {} cannot be reached: these constraints let go at most {reachable:.4}.",
                target.get()
            ),
        )
        .hint(format!(
            "Ask for at most {:.2}, raise `constraints.max_layer_reduction` (now {}), or shorten `constraints.ignore`.",
            (reachable * 100.0).floor() / 100.0,
            spec.constraints.max_layer_reduction.get(),
        )));
    }
    Ok(reachable)
}

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
    let configuration = match (spec.method, &spec.config) {
        (Method::Config, Some(config)) => replayed(grouping, config)?,
        (Method::Config, None) => {
            return Err(Rejection::new(Code::InvalidSpec, "`method: \"config\"` needs `config`.").at("config"));
        }
        (Method::Sacp, _) => {
            return Err(Rejection::new(
                Code::InvalidSpec,
                "`method: \"sacp\"` searches; it proposes nothing by itself.",
            ));
        }
        (Method::Uniform | Method::GlobalL1 | Method::GlobalL2, _) => {
            check_reachable(graph, grouping, costs, spec)?;
            let limits = Limits::new(graph, grouping, &spec.constraints)?;
            let criterion = match spec.method {
                Method::GlobalL2 => Criterion::L2,
                Method::Uniform | Method::GlobalL1 | Method::Config | Method::Sacp => Criterion::L1,
            };
            let evidence = Evidence { graph, grouping, weights, saliency: None };
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
    Ok(vec![Candidate::new(0, spec.method.as_str(), configuration, costs)])
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
    .hint(format!(
        "Ask for {reached:.3}, or lower `constraints.round_to` (now {}).",
        spec.constraints.round_to.get()
    )))
}

fn replayed(grouping: &Grouping, config: &ReplayConfig) -> Result<Configuration, Rejection> {
    let invalid = |detail: String| Rejection::new(Code::InvalidSpec, detail).at("config");
    if config.format != ReplayConfig::FORMAT {
        return Err(invalid(format!("`config.format` {} is not known: {} is.", config.format, ReplayConfig::FORMAT)));
    }
    let known = |name: &String| grouping.groups().iter().any(|group| &group.name == name);
    if let Some(unknown) = config.groups.keys().find(|name| !known(name)) {
        return Err(invalid(format!("`config.groups` names `{unknown}`, but the network has no such group."))
            .hint("A configuration can be replayed on the model that it was found for."));
    }
    let keep = grouping
        .groups()
        .iter()
        .map(|group| config.groups.get(&group.name).cloned().unwrap_or_else(|| (0..group.channels() as u32).collect()))
        .collect();
    let configuration = Configuration { keep };
    surgery::check(grouping, &configuration).map_err(|error| invalid(format!("`config` does not fit: {error}.")))?;
    Ok(configuration)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Graph;
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
        assert!(error.detail.contains("flops_reduction") && error.detail.contains("at most 0.7"), "{}", error.detail);
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

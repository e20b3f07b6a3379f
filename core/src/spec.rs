//! What the user asks for: the job spec, parsed once at the edge and trusted afterwards.
//!
//! [`JobSpec::from_json`] is the only door. It refuses unknown fields and values outside their range with a
//! [`Rejection`] that names the field's path, the value and what is allowed. Everything but the target has a default.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::candidate::ReplayConfig;
use crate::rejection::{Code, Rejection};

/// A share that is removed, strictly between 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "f64", into = "f64")]
#[schema(value_type = f64, exclusive_minimum = 0.0, exclusive_maximum = 1.0)]
pub struct Reduction(f64);

impl Reduction {
    pub fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Reduction {
    type Error = String;

    fn try_from(share: f64) -> Result<Self, String> {
        if share > 0.0 && share < 1.0 {
            Ok(Self(share))
        } else {
            Err(format!(
                "{share} is not a reduction: the share removed must lie strictly between 0 and 1, 0.7 removes 70 %"
            ))
        }
    }
}

impl From<Reduction> for f64 {
    fn from(reduction: Reduction) -> f64 {
        reduction.0
    }
}

/// A whole number of at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "u64", into = "u64")]
#[schema(value_type = u64, minimum = 1)]
pub struct Positive(u64);

impl Positive {
    pub const ONE: Self = Self(1);

    pub const fn new(value: u64) -> Self {
        assert!(value >= 1, "a positive number is at least 1");
        Self(value)
    }

    pub fn get(self) -> usize {
        self.0 as usize
    }
}

impl TryFrom<u64> for Positive {
    type Error = String;

    fn try_from(value: u64) -> Result<Self, String> {
        if (1..=1_000_000_000).contains(&value) {
            Ok(Self(value))
        } else {
            Err(format!("{value} is out of range: it must be between 1 and 1000000000"))
        }
    }
}

impl From<Positive> for u64 {
    fn from(value: Positive) -> u64 {
        value.0
    }
}

/// A weight between 0 and 1, both included.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "f64", into = "f64")]
#[schema(value_type = f64, minimum = 0.0, maximum = 1.0)]
pub struct UnitInterval(f64);

impl UnitInterval {
    pub fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for UnitInterval {
    type Error = String;

    fn try_from(value: f64) -> Result<Self, String> {
        if (0.0..=1.0).contains(&value) {
            Ok(Self(value))
        } else {
            Err(format!("{value} is out of range: it must be between 0 and 1"))
        }
    }
}

impl From<UnitInterval> for f64 {
    fn from(value: UnitInterval) -> f64 {
        value.0
    }
}

/// What is to be removed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "TargetWire", into = "TargetWire")]
pub struct Target {
    pub metric: Metric,
    pub reduction: Reduction,
    /// The job fails cleanly when validation accuracy drops by more than this.
    pub max_accuracy_drop: Option<UnitInterval>,
}

/// The metric that a target counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Multiply-accumulates of one sample through convolutions, linear layers and matrix products.
    Flops,
    /// Elements of all parameters (buffers are not counted).
    Params,
    /// Prunable channels, over all coupled groups.
    Channels,
}

impl Metric {
    pub fn field(self) -> &'static str {
        match self {
            Self::Flops => "flops_reduction",
            Self::Params => "params_reduction",
            Self::Channels => "channel_reduction",
        }
    }
}

/// Exactly one of the reductions.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Target)]
#[serde(deny_unknown_fields)]
pub struct TargetWire {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    flops_reduction: Option<Reduction>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    params_reduction: Option<Reduction>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    channel_reduction: Option<Reduction>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_accuracy_drop: Option<UnitInterval>,
}

impl TryFrom<TargetWire> for Target {
    type Error = String;

    fn try_from(wire: TargetWire) -> Result<Self, String> {
        let given: Vec<(Metric, Reduction)> = [
            (Metric::Flops, wire.flops_reduction),
            (Metric::Params, wire.params_reduction),
            (Metric::Channels, wire.channel_reduction),
        ]
        .into_iter()
        .filter_map(|(metric, reduction)| reduction.map(|reduction| (metric, reduction)))
        .collect();
        match given[..] {
            [(metric, reduction)] => Ok(Self { metric, reduction, max_accuracy_drop: wire.max_accuracy_drop }),
            _ => Err(format!(
                "{} reductions given: exactly one of `flops_reduction`, `params_reduction`, `channel_reduction` is needed",
                given.len()
            )),
        }
    }
}

impl From<Target> for TargetWire {
    fn from(target: Target) -> Self {
        let only = |metric| (target.metric == metric).then_some(target.reduction);
        Self {
            flops_reduction: only(Metric::Flops),
            params_reduction: only(Metric::Params),
            channel_reduction: only(Metric::Channels),
            max_accuracy_drop: target.max_accuracy_drop,
        }
    }
}

/// How the widths are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Graph embedding and search over millions of configurations (Liu et al., arXiv 2506.11469), calibrated on the
    /// network's own sensitivities when there is data; the classical methods' networks always take part in the screen.
    Sacp,
    /// The same share of every group, the channels of least L1 norm.
    Uniform,
    /// One threshold over the L1 norms of all groups' channels, normalised by group.
    GlobalL1,
    /// One threshold over the L2 norms of all groups' channels, normalised by group (DepGraph's criterion).
    GlobalL2,
    /// A configuration that an earlier job wrote, replayed from `config`.
    Config,
}

impl Method {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sacp => "sacp",
            Self::Uniform => "uniform",
            Self::GlobalL1 => "global_l1",
            Self::GlobalL2 => "global_l2",
            Self::Config => "config",
        }
    }
}

impl Method {
    /// Origins of candidates that a job with `sacp` must not fall behind: the classical methods and the greedy allocation by
    /// sensitivity.
    pub const BASELINES: [&str; 4] = ["uniform", "global_l1", "global_l2", "sensitivity"];

    pub fn is_baseline(origin: &str) -> bool {
        Self::BASELINES.contains(&origin)
    }
}

/// One number for all channels, or one for each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum PerChannel {
    All(f64),
    Each(Vec<f64>),
}

/// How stored samples become inputs: the model sees `(stored - mean) / std`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InputScaling {
    pub mean: PerChannel,
    pub std: PerChannel,
}

/// One sample's shape without the batch, or a list of shapes for a model with several inputs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum InputShape {
    One(Vec<i64>),
    Many(Vec<Vec<i64>>),
}

impl InputShape {
    /// The shapes, one per input of the model.
    pub fn shapes(&self) -> Vec<Vec<i64>> {
        match self {
            Self::One(shape) => vec![shape.clone()],
            Self::Many(shapes) => shapes.clone(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Constraints {
    /// Kept channel counts are multiples of this.
    pub round_to: Positive,
    /// No group loses a larger share of its channels.
    pub max_layer_reduction: UnitInterval,
    /// Names of layers (with `*` and `?`) whose output channels stay as they are.
    pub ignore: Vec<String>,
    /// Limits by layer name (with `*` and `?`).
    pub layers: BTreeMap<String, LayerLimit>,
}

impl Default for Constraints {
    fn default() -> Self {
        Self {
            round_to: Positive::ONE,
            max_layer_reduction: UnitInterval(0.9),
            ignore: Vec::new(),
            layers: BTreeMap::new(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LayerLimit {
    pub max_reduction: UnitInterval,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Objective {
    /// Cross-entropy with the labels, mixed with distillation by `distill`.
    CrossEntropy,
    /// Distillation from the original network alone; needs no labels.
    Distill,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Optimizer {
    /// SGD with Nesterov momentum 0.9, cosine schedule after a linear warm-up.
    Sgd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Augmentation {
    /// Mirror each sample left to right with probability 1/2.
    Hflip,
    /// Pad by an eighth of the width with zeros and crop a random window of the original size.
    Crop,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FineTune {
    pub objective: Objective,
    /// Weight of the distillation loss beside the cross-entropy, 0 to 1.
    pub distill: UnitInterval,
    /// Epochs of every screened network's light fine-tune, after which the best `search.top_k` go on; with `sacp` only.
    pub light_epochs: u32,
    pub epochs: u32,
    pub batch_size: Positive,
    pub optimizer: Optimizer,
    /// Peak learning rate.
    pub lr: f64,
    pub weight_decay: f64,
    pub augment: Vec<Augmentation>,
}

impl Default for FineTune {
    fn default() -> Self {
        Self {
            objective: Objective::CrossEntropy,
            distill: UnitInterval(0.5),
            light_epochs: 1,
            epochs: 30,
            batch_size: Positive::new(128),
            optimizer: Optimizer::Sgd,
            lr: 0.05,
            weight_decay: 5e-4,
            augment: Vec::new(),
        }
    }
}

/// Settings for a purpose; what the spec says itself wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// Minutes on two cores for a small network.
    Quick,
    /// The sizes of the SACP paper.
    Paper,
}

impl Preset {
    /// Sections of the spec that it sets.
    fn sections(self) -> serde_json::Value {
        match self {
            Self::Quick => serde_json::json!({
                "encoder": {"configs": 2000, "epochs": 3},
                "search": {"candidates": 1_000_000, "top_m": 24, "top_k": 2},
                "fine_tune": {"epochs": 20, "light_epochs": 1},
            }),
            Self::Paper => serde_json::json!({
                "encoder": {"configs": 10_000, "epochs": 5},
                "search": {"candidates": 1_000_000, "top_m": 150, "top_k": 10},
                "fine_tune": {"epochs": 30, "light_epochs": 1},
            }),
        }
    }
}

/// The graph encoder of SACP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EncoderSpec {
    /// Random rate vectors that it is trained on, each seen once per epoch.
    pub configs: Positive,
    /// Layers of the GCN; 2 is the one depth that the exact fast search is for.
    pub layers: Positive,
    /// Width of the embedding, at most 256.
    pub hidden: Positive,
    pub epochs: u32,
    /// Of the InfoNCE loss.
    pub temperature: f64,
    /// Random channel choices per rate vector.
    pub negatives: Positive,
}

impl Default for EncoderSpec {
    fn default() -> Self {
        Self {
            configs: Positive::new(10_000),
            layers: Positive::new(2),
            hidden: Positive::new(64),
            epochs: 5,
            temperature: 0.1,
            negatives: Positive::new(8),
        }
    }
}

/// What orders the candidates of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RankingChoice {
    /// Cosine between the candidate's embedding and the unpruned network's, as published.
    Similarity,
    /// The sum of the groups' measured sensitivities; needs a data set, without one it is `similarity`.
    Calibrated,
}

/// The search of SACP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SearchSpec {
    /// Configurations to score.
    pub candidates: Positive,
    /// Step between the rates that a group may be pruned by.
    pub rate_step: f64,
    /// Configurations that are screened, beside the baselines.
    pub top_m: Positive,
    /// Screened networks that are fully fine-tuned.
    pub top_k: Positive,
    pub ranking: RankingChoice,
}

impl Default for SearchSpec {
    fn default() -> Self {
        Self {
            candidates: Positive::new(1_000_000),
            rate_step: 0.1,
            top_m: Positive::new(150),
            top_k: Positive::new(10),
            ranking: RankingChoice::Calibrated,
        }
    }
}

/// What a job is to do. Serialising it gives the spec as run, defaults filled in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JobSpec {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[schema(value_type = TargetWire)]
    pub target: Target,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_shape: Option<InputShape>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<InputScaling>,
    #[serde(default = "default_method")]
    pub method: Method,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<Preset>,
    /// The configuration to replay, the content of an earlier job's `config.json`; with `method: "config"` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<ReplayConfig>,
    #[serde(default)]
    pub seed: u64,
    #[serde(default)]
    pub constraints: Constraints,
    #[serde(default)]
    pub encoder: EncoderSpec,
    #[serde(default)]
    pub search: SearchSpec,
    /// `null` prunes only.
    #[serde(default = "default_fine_tune")]
    pub fine_tune: Option<FineTune>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

fn default_method() -> Method {
    Method::Sacp
}

fn default_fine_tune() -> Option<FineTune> {
    Some(FineTune::default())
}

impl JobSpec {
    /// Parses and checks a spec.
    ///
    /// # Errors
    /// [`Code::InvalidSpec`] with the path of the field in `node`.
    pub fn from_json(json: &str) -> Result<Self, Rejection> {
        let json = &with_preset(json);
        let mut reader = serde_json::Deserializer::from_str(json);
        let spec: Self = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            let path = error.path().to_string();
            let cause = without_position(&error.inner().to_string());
            if path == "." {
                Rejection::new(Code::InvalidSpec, format!("The job spec is not valid: {cause}."))
            } else {
                Rejection::new(Code::InvalidSpec, format!("`{path}` is not valid: {cause}.")).at(path)
            }
        })?;
        reader.end().map_err(|_| {
            Rejection::new(Code::InvalidSpec, "The job spec must be one JSON object with nothing behind it.")
        })?;
        spec.check()?;
        Ok(spec)
    }

    /// The rules between fields and for plain numbers.
    fn check(&self) -> Result<(), Rejection> {
        let invalid = |field: &str, detail: String| Err(Rejection::new(Code::InvalidSpec, detail).at(field));
        if let Some(name) = &self.name
            && (name.is_empty() || name.chars().count() > 200)
        {
            return invalid("name", format!("`name` has {} characters: 1 to 200 are allowed.", name.chars().count()));
        }
        if let Some(shape) = &self.input_shape {
            let shapes = shape.shapes();
            if shapes.is_empty() || shapes.iter().flatten().any(|&size| !(1..=65_536).contains(&size)) {
                return invalid(
                    "input_shape",
                    format!(
                        "`input_shape` {shapes:?} is not valid: one sample's shape without the batch, every size 1 to 65536."
                    ),
                );
            }
        }
        if let Some(scaling) = &self.input {
            let numbers = |values: &PerChannel| match values {
                PerChannel::All(value) => vec![*value],
                PerChannel::Each(values) => values.clone(),
            };
            if let Some(std) = numbers(&scaling.std).into_iter().find(|&std| std <= 0.0) {
                return invalid("input.std", format!("`input.std` {std} is out of range: it must be greater than 0."));
            }
        }
        if (self.method == Method::Config) != self.config.is_some() {
            return invalid("config", "`config` must be given with `method: \"config\"`, and only then.".to_owned());
        }
        if let Some(fine_tune) = &self.fine_tune {
            let FineTune { epochs, lr, weight_decay, batch_size, .. } = fine_tune;
            if !(1..=10_000).contains(epochs) {
                return invalid(
                    "fine_tune.epochs",
                    format!(
                        "`fine_tune.epochs` {epochs} is out of range: 1 to 10000; `\"fine_tune\": null` prunes only."
                    ),
                );
            }
            if batch_size.get() < 2 || batch_size.get() > 65_536 {
                return invalid(
                    "fine_tune.batch_size",
                    format!(
                        "`fine_tune.batch_size` {} is out of range: 2 to 65536 (batch norm needs two samples).",
                        batch_size.get()
                    ),
                );
            }
            if !(*lr > 0.0 && *lr <= 10.0) {
                return invalid(
                    "fine_tune.lr",
                    format!("`fine_tune.lr` {lr} is out of range: above 0 and at most 10."),
                );
            }
            if !(0.0..=1.0).contains(weight_decay) {
                return invalid(
                    "fine_tune.weight_decay",
                    format!("`fine_tune.weight_decay` {weight_decay} is out of range: 0 to 1."),
                );
            }
        }
        if self.method == Method::Sacp {
            self.check_search(invalid)?;
        }
        if self.labels.len() > 64 {
            return invalid("labels", format!("{} labels given: at most 64 are allowed.", self.labels.len()));
        }
        Ok(())
    }
}

impl JobSpec {
    fn check_search(&self, invalid: impl Fn(&str, String) -> Result<(), Rejection>) -> Result<(), Rejection> {
        let EncoderSpec { configs, layers, hidden, epochs, temperature, negatives } = &self.encoder;
        if configs.get() > 1_000_000 {
            return invalid(
                "encoder.configs",
                format!("`encoder.configs` {} is out of range: 1 to 1000000.", configs.get()),
            );
        }
        if layers.get() != 2 {
            return invalid("encoder.layers", format!("`encoder.layers` {} is not supported: 2 is.", layers.get()));
        }
        if hidden.get() > 256 {
            return invalid("encoder.hidden", format!("`encoder.hidden` {} is out of range: 1 to 256.", hidden.get()));
        }
        if !(1..=1000).contains(epochs) {
            return invalid("encoder.epochs", format!("`encoder.epochs` {epochs} is out of range: 1 to 1000."));
        }
        if !(*temperature > 0.0 && *temperature <= 10.0) {
            return invalid(
                "encoder.temperature",
                format!("`encoder.temperature` {temperature} is out of range: above 0 and at most 10."),
            );
        }
        if negatives.get() > 256 {
            return invalid(
                "encoder.negatives",
                format!("`encoder.negatives` {} is out of range: 1 to 256.", negatives.get()),
            );
        }
        let SearchSpec { rate_step, top_m, top_k, .. } = &self.search;
        if !(0.005..=0.5).contains(rate_step) {
            return invalid(
                "search.rate_step",
                format!("`search.rate_step` {rate_step} is out of range: 0.005 to 0.5."),
            );
        }
        if top_m.get() > 10_000 {
            return invalid("search.top_m", format!("`search.top_m` {} is out of range: 1 to 10000.", top_m.get()));
        }
        if top_k.get() > 1000 {
            return invalid("search.top_k", format!("`search.top_k` {} is out of range: 1 to 1000.", top_k.get()));
        }
        Ok(())
    }
}

/// The spec with what its preset sets and it does not say itself. Anything that is not a spec is left as it is, for the
/// parser to refuse.
fn with_preset(json: &str) -> String {
    let Ok(serde_json::Value::Object(mut spec)) = serde_json::from_str(json) else { return json.to_owned() };
    let preset = spec.get("preset").cloned().and_then(|preset| serde_json::from_value::<Preset>(preset).ok());
    let Some(serde_json::Value::Object(sections)) = preset.map(Preset::sections) else { return json.to_owned() };
    for (name, fields) in sections {
        let (serde_json::Value::Object(section), serde_json::Value::Object(fields)) =
            (spec.entry(name).or_insert_with(|| serde_json::json!({})), fields)
        else {
            continue;
        };
        for (field, value) in fields {
            section.entry(field).or_insert(value);
        }
    }
    serde_json::Value::Object(spec).to_string()
}

/// serde_json appends ` at line 1 column 9`, which says nothing beside the path.
fn without_position(message: &str) -> String {
    match message.rfind(" at line ") {
        Some(at) => message[..at].to_owned(),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detail(json: &str) -> String {
        JobSpec::from_json(json).expect_err("the spec is wrong").detail
    }

    #[test]
    fn a_target_alone_is_a_whole_spec() {
        let spec = JobSpec::from_json(r#"{"target": {"flops_reduction": 0.7}}"#).unwrap();
        assert_eq!(spec.target.metric, Metric::Flops);
        assert_eq!(spec.fine_tune, Some(FineTune::default()));
        let as_run = serde_json::to_string(&spec).unwrap();
        assert_eq!(JobSpec::from_json(&as_run).unwrap(), spec);
    }

    #[test]
    fn null_turns_fine_tuning_off() {
        let spec = JobSpec::from_json(r#"{"target": {"flops_reduction": 0.7}, "fine_tune": null}"#).unwrap();
        assert_eq!(spec.fine_tune, None);
        let as_run = serde_json::to_string(&spec).unwrap();
        assert_eq!(JobSpec::from_json(&as_run).unwrap(), spec);
    }

    #[test]
    fn a_target_outside_zero_to_one_is_named_with_its_value() {
        for value in ["0", "1", "1.5", "-0.1"] {
            let message = detail(&format!(r#"{{"target": {{"flops_reduction": {value}}}}}"#));
            assert!(
                message.contains("target") && message.contains(value) && message.contains("between 0 and 1"),
                "{message}"
            );
        }
    }

    #[test]
    fn two_targets_or_none_are_refused() {
        let two = detail(r#"{"target": {"flops_reduction": 0.5, "params_reduction": 0.5}}"#);
        assert!(two.contains("2 reductions given"), "{two}");
        let none = detail(r#"{"target": {}}"#);
        assert!(none.contains("0 reductions given"), "{none}");
    }

    #[test]
    fn a_preset_sets_what_the_spec_does_not_say() {
        let json = r#"{"target": {"flops_reduction": 0.5}, "preset": "quick", "search": {"top_m": 7}}"#;
        let spec = JobSpec::from_json(json).unwrap();
        assert_eq!((spec.search.top_m.get(), spec.search.top_k.get(), spec.encoder.configs.get()), (7, 2, 2000));
        let as_run = serde_json::to_string(&spec).unwrap();
        assert_eq!(JobSpec::from_json(&as_run).unwrap(), spec, "a spec as run gives itself again");
        let json = r#"{"target": {"flops_reduction": 0.5}, "preset": "quick", "fine_tune": null}"#;
        assert_eq!(JobSpec::from_json(json).unwrap().fine_tune, None);
        assert!(detail(r#"{"target": {"flops_reduction": 0.5}, "preset": "fast"}"#).contains("fast"));
    }

    #[test]
    fn an_unknown_field_is_refused_by_name() {
        let message = detail(r#"{"target": {"flops_reduction": 0.5}, "constraints": {"round": 8}}"#);
        assert!(message.contains("constraints") && message.contains("unknown field `round`"), "{message}");
        let message = detail(r#"{"target": {"flops_reduction": 0.5}, "colour": "red"}"#);
        assert!(message.contains("colour"), "{message}");
    }
}

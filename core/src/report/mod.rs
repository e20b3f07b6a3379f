//! What the user gets: `report.json`, and the summary of a model.

mod choice;
mod frontier;
mod warnings;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::dataset::SplitCounts;
use crate::latency::{LatencyFit, Setting};
use crate::measurement::Reused;
use crate::sandbox::Sandbox;
use crate::spec::JobSpec;
use crate::statistics::RankCorrelation;
use crate::surgery::AxisIndices;
use crate::task::EncoderResult;

pub use choice::ChannelChoice;
pub use frontier::{Frontier, FrontierPoint};
pub use warnings::warnings;

/// What a network costs; multiply-accumulates are of one sample through convolutions, linear layers and matrix products.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Costs {
    pub macs: u64,
    /// Elements of all parameters, buffers not counted.
    pub params: u64,
    /// Prunable channels, over all coupled groups.
    pub channels: u64,
    /// Milliseconds of one forward pass by the job's latency table: measured of the uncut network, predicted of others. With a
    /// latency target only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
}

/// Share of samples whose class of largest output is the label, by split.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Accuracy {
    pub val: f64,
    pub test: f64,
}

/// Wall time of one forward pass.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Latency {
    /// Milliseconds.
    pub p50: f64,
    /// Milliseconds.
    pub p95: f64,
    pub batch: u32,
    pub threads: u32,
    pub device: String,
    /// Forward passes timed.
    pub runs: u32,
}

/// The network with the surgery against the original with the removed input columns zeroed, before any fine-tuning.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Equivalence {
    pub max_abs_diff: f64,
    /// What `max_abs_diff` may be at most; scales with the outputs' magnitude.
    pub tolerance: f64,
}

/// One network, before or after.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NetworkReport {
    pub macs: u64,
    pub params: u64,
    /// Of the TorchScript file.
    pub bytes: u64,
    /// `null` without labels.
    pub accuracy: Option<Accuracy>,
    pub latency_ms: Latency,
}

/// One layer's width, before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LayerWidth {
    pub layer: String,
    #[serde(rename = "type")]
    pub kind: String,
    /// The coupled group whose channels it produces.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub group: Option<String>,
    pub channels_before: u64,
    pub channels_after: u64,
    pub macs_before: u64,
    pub macs_after: u64,
}

/// One epoch of fine-tuning.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Epoch {
    pub epoch: u32,
    pub train_loss: f64,
    #[serde(default)]
    pub val_accuracy: Option<f64>,
    pub seconds: f64,
}

/// The comparison of the reloaded file with the network in memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Reload {
    pub batches: Vec<u32>,
    pub max_abs_diff: f64,
    pub tolerance: f64,
}

/// Seconds of wall time by stage; tasks of one stage are added up.
pub type StageSeconds = BTreeMap<String, f64>;

/// The devices that computed each stage, `cpu` or `cuda:0`, each once.
pub type StageDevices = BTreeMap<String, BTreeSet<String>>;

/// The data set of the job, as it was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DataReport {
    /// Samples of each split.
    pub samples: SplitCounts,
    /// The largest label + 1; `null` without labels.
    pub classes: Option<usize>,
    /// Classes that the model tells apart; `null` when its output is not one score per class.
    pub outputs: Option<usize>,
}

/// Predicted and measured latency of a job with a latency target, at one setting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LatencyReport {
    /// Share removed as the job's latency table predicts.
    pub predicted_reduction: f64,
    /// Share removed of the median that the stage `verify` measured, original and pruned file in turns in one process.
    pub measured_reduction: f64,
    /// Of the table. `verify` measured with what `latency_ms` says; a warning tells when the two differ.
    #[serde(flatten)]
    pub setting: Setting,
    /// Median of the original, milliseconds, measured by `verify`.
    pub base_ms: f64,
    /// Median of the pruned network, milliseconds, measured by `verify`.
    pub pruned_ms: f64,
    /// Of the original as the table's nodes were timed, milliseconds; on a busy machine less than `base_ms`.
    pub predicted_base_ms: f64,
    /// By the table, milliseconds.
    pub predicted_pruned_ms: f64,
    pub fit: LatencyFit,
}

/// What the search of SACP did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SearchReport {
    /// `similarity`, `calibrated` or `regression`: what ordered the candidates.
    pub ranking: String,
    /// Configurations that the walk through the band scored.
    pub candidates: u64,
    /// What evolutionary moves from its best gained; `null` with `search.refine` 0.
    #[serde(default)]
    pub refinement: Option<RefinementReport>,
    /// Logarithm to base 10 of the number of configurations that the limits allow.
    pub log10_space: f64,
    /// The share removed of the target's metric lies in this band for every candidate.
    pub band: [f64; 2],
    /// Candidates differ by at least this sum of level steps.
    pub min_distance: u32,
    /// Seconds of scoring, sampling and costs included.
    pub seconds: f64,
    pub threads: usize,
    /// Where scores were computed.
    pub device: String,
}

/// The second phase of the search. The score is the cosine for `similarity`, minus the predicted divergence for `calibrated`, the prediction for `regression`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RefinementReport {
    /// Configurations tried.
    pub candidates: u64,
    /// The best score of the walk.
    pub score_before: f64,
    pub score_after: f64,
}

/// What the repair tells that the screen could not: rank correlations with the validation accuracy after it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RepairReport {
    /// Steps of distillation that every screened network got; fewer than `search.repair_steps` where the training split has fewer batches.
    pub steps: u64,
    /// Of the accuracy after surgery and BN recalibration.
    pub screened: Option<RankCorrelation>,
    pub similarity: Option<RankCorrelation>,
    /// Of minus the predicted divergence.
    pub calibrated: Option<RankCorrelation>,
    /// Of the fitted encoder's prediction.
    pub regression: Option<RankCorrelation>,
}

/// One configuration that was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CandidateReport {
    pub index: usize,
    /// The method or ranking that proposed it.
    pub origin: String,
    pub macs: u64,
    pub params: u64,
    /// Share removed of the target's metric.
    pub reduction: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub similarity: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicted_divergence: Option<f64>,
    /// By the job's latency table; with a latency target only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicted_latency_ms: Option<f64>,
    /// What the encoder predicts, with `regression`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicted_value: Option<f64>,
    /// Validation accuracy after surgery and BN recalibration.
    pub screened_accuracy: Option<f64>,
    /// Validation accuracy after the repair, some steps of distillation.
    #[serde(default)]
    pub repaired_accuracy: Option<f64>,
    /// Validation accuracy after the light fine-tune.
    pub light_accuracy: Option<f64>,
    /// Validation accuracy after the full fine-tune.
    pub tuned_accuracy: Option<f64>,
}

/// `report.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Report {
    /// As run, defaults filled in.
    pub spec: JobSpec,
    /// Which method the network came from.
    pub winner: String,
    /// Spearman's rho between similarity and measured accuracy; `null` when no similarity search ran.
    pub spearman_rho: Option<f64>,
    /// The same with its p-value; `null` like `spearman_rho`.
    #[serde(default)]
    pub similarity_correlation: Option<RankCorrelation>,
    /// Spearman's rho between minus the predicted divergence and measured accuracy.
    #[serde(default)]
    pub calibrated_correlation: Option<RankCorrelation>,
    /// Spearman's rho between the fitted encoder's prediction and measured accuracy; `null` without `regression`.
    #[serde(default)]
    pub regression_correlation: Option<RankCorrelation>,
    /// `null` when nothing was repaired or there are no labels.
    #[serde(default)]
    pub repair: Option<RepairReport>,
    /// What the search did; `null` for methods that do not search.
    #[serde(default)]
    pub search: Option<SearchReport>,
    #[serde(default)]
    pub encoder: Option<EncoderResult>,
    /// Every configuration that was measured.
    #[serde(default)]
    pub candidates: Vec<CandidateReport>,
    /// The best accuracies for their MACs, stage by stage.
    #[serde(default)]
    pub frontier: Frontier,
    /// Channels chosen by importance against channels chosen at random; `null` without data.
    #[serde(default)]
    pub channel_choice: Option<ChannelChoice>,
    /// `null` without data.
    #[serde(default)]
    pub data: Option<DataReport>,
    pub base: NetworkReport,
    pub pruned: NetworkReport,
    /// Predicted and measured; `null` without a latency target.
    #[serde(default)]
    pub latency: Option<LatencyReport>,
    /// Share removed, by metric (`flops_reduction`, `params_reduction`, `channel_reduction`; `latency_reduction` as measured).
    pub reduction: BTreeMap<String, f64>,
    pub layers: Vec<LayerWidth>,
    /// For every changed tensor, by name, per axis, the kept original indices.
    pub kept: AxisIndices,
    pub equivalence: Equivalence,
    /// Largest difference between the imported graph and the original file's own `forward`.
    pub import_max_abs_diff: f64,
    pub reload: Reload,
    /// Validation accuracy after surgery and BN recalibration, before fine-tuning.
    pub screened_accuracy: Option<f64>,
    pub epochs: Vec<Epoch>,
    pub best_epoch: Option<u32>,
    pub seconds: StageSeconds,
    #[serde(default)]
    pub devices: StageDevices,
    /// What earlier jobs on the same model and data set had measured already.
    #[serde(default)]
    pub reused: Reused,
    /// What confined the engine that wrote the report.
    #[serde(default)]
    pub sandbox: Sandbox,
    pub versions: BTreeMap<String, String>,
    pub seed: u64,
    /// Of the original file, hexadecimal.
    pub model_sha256: String,
    pub warnings: Vec<String>,
}

/// A layer of the model as `inspect` and `GET /v1/models/{id}` show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LayerSummary {
    pub layer: String,
    /// The operator, `conv2d`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Input and output channels of a layer with weights, else of its tensors.
    pub channels_in: Option<u64>,
    pub channels_out: Option<u64>,
    pub group: Option<String>,
    pub macs: u64,
    pub params: u64,
    /// Why its output channels cannot be cut; `null` when they can.
    pub unprunable: Option<String>,
}

/// A coupled group: channels that must be cut together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GroupSummary {
    /// Its first layer's name.
    pub name: String,
    pub channels: u64,
    /// Tensor axes that shrink with it, `layer1.0.conv1.weight:0`.
    pub tensors: Vec<String>,
    /// Why it is not pruned; `null` when it can be.
    pub unprunable: Option<String>,
}

/// A node that no channel can pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Obstacle {
    pub node: String,
    /// `aten::cumsum`.
    pub operator: String,
    pub reason: String,
    /// Channels, of the layers before and after, that are kept as they are because of it.
    pub channels: u64,
}

/// `summary.json`: what the graph stage knows of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ModelSummary {
    /// Shapes of one sample of each input.
    pub inputs: Vec<Vec<i64>>,
    pub base: Costs,
    pub layers: Vec<LayerSummary>,
    pub groups: Vec<GroupSummary>,
    /// Largest share that default constraints let go, by metric.
    pub reachable: BTreeMap<String, f64>,
    /// Logarithm to base 10 of the number of configurations that default constraints allow.
    #[serde(default)]
    pub log10_space: f64,
    #[serde(default)]
    pub obstacles: Vec<Obstacle>,
    /// Branches and loops of the program that depend on the size of the input, by module and line; those of the given size
    /// were taken.
    #[serde(default)]
    pub specialisations: Vec<String>,
    /// What the user could do to have more pruned, in sentences.
    #[serde(default)]
    pub advice: Vec<String>,
}

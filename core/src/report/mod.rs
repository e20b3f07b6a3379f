//! What the user gets: `report.json`.
//!
//! [`assemble`] puts the report together from the [`History`] of a job; what it is made of belongs to those that found it out.

mod assemble;
mod candidate;
mod compute;
mod export;
mod frontier;
mod history;
mod warnings;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::configuration::Origin;
use crate::inspection::LayerWidth;
use crate::latency::{Latency, LatencyFit, Setting};
use crate::output::ModelOutput;
use crate::recovery::{
    Accuracy, ChannelChoice, ClosedFormResult, DataReport, Epoch, JudgeReport, MetricReport, Recipe,
};
use crate::sandbox::Sandbox;
use crate::search::SearchReport;
use crate::search::encoder::EncoderResult;
use crate::spec::JobSpec;
use crate::statistics::RankCorrelation;
use crate::surgery::{AxisIndices, Equivalence};

pub use assemble::{AssembleError, Verified, assemble};
pub use candidate::{CandidateReport, join};
pub use compute::{ComputeReport, Spent};
pub use export::{ExportReport, InputSizes, MethodReport, OutputSizes, ProgramEdit, ProvedSize, SizesReport};
pub use frontier::{Frontier, FrontierPoint};
pub use history::{Exported, History, Original, Training};
pub use warnings::warnings;

/// One network, before or after.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NetworkReport {
    /// Multiply-accumulates of one sample.
    pub macs: u64,
    /// Elements of all parameters.
    pub params: u64,
    /// Of the TorchScript file.
    pub bytes: u64,
    /// `null` without labels.
    pub accuracy: Option<Accuracy>,
    /// Wall time of one forward pass, milliseconds.
    pub latency_ms: Latency,
}

/// The comparison of the reloaded file with the network in memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Reload {
    /// The batch sizes that were compared.
    pub batches: Vec<u32>,
    /// Largest difference between the two outputs.
    pub max_abs_diff: f64,
    /// The most that `max_abs_diff` may be.
    pub tolerance: f64,
}

/// Seconds of wall time by stage; tasks of one stage are added up.
pub type StageSeconds = BTreeMap<String, f64>;

/// Where the time of each stage went; tasks of one stage are added up.
pub type StageTimes = BTreeMap<String, StageTime>;

/// Where the time of a stage went, in seconds of wall time; tasks are added up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StageTime {
    /// Until a worker had a place for the task.
    pub waiting: f64,
    /// Starting the engine, and bringing files to it and from it.
    pub setting_up: f64,
    /// The rest, reading and writing those files included.
    pub computing: f64,
}

/// Measurements of a job that earlier jobs on the same model and data set had made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Reused {
    /// Sensitivities, each of one group at one width.
    pub sensitivities: u64,
    /// Candidates whose screen was taken over.
    pub screens: u64,
}

/// The devices that computed each stage, `cpu` or `cuda:0`, each once.
pub type StageDevices = BTreeMap<String, BTreeSet<String>>;

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
    /// How well the latency table explains the measurements behind it.
    pub fit: LatencyFit,
}

/// What the repair tells that the screen could not: rank correlations with the validation metric after it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RepairReport {
    /// Steps of distillation that every screened network got; fewer than `search.repair_steps` where the training split has fewer batches.
    pub steps: u64,
    /// Of the accuracy after surgery, repaired in closed form or with re-estimated batch norm statistics.
    pub screened: Option<RankCorrelation>,
    /// Rank correlation of the encoder's similarity with the repaired accuracy; `null` when it was not computed.
    pub similarity: Option<RankCorrelation>,
    /// Of minus the predicted divergence.
    #[serde(default, alias = "calibrated")]
    pub sensitivity: Option<RankCorrelation>,
    /// Of the fitted encoder's prediction.
    pub regression: Option<RankCorrelation>,
}

/// `report.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Report {
    /// As run, defaults filled in.
    pub spec: JobSpec,
    /// Which method the network came from.
    #[schema(value_type = String)]
    pub winner: Origin,
    /// Spearman's rho between similarity and measured accuracy; `null` when no similarity search ran.
    pub spearman_rho: Option<f64>,
    /// The same with its p-value; `null` like `spearman_rho`.
    #[serde(default)]
    pub similarity_correlation: Option<RankCorrelation>,
    /// Spearman's rho between minus the predicted divergence and measured accuracy.
    #[serde(default, alias = "calibrated_correlation")]
    pub sensitivity_correlation: Option<RankCorrelation>,
    /// Spearman's rho between the fitted encoder's prediction and measured accuracy; `null` without `regression`.
    #[serde(default)]
    pub regression_correlation: Option<RankCorrelation>,
    /// `null` when nothing was repaired.
    #[serde(default)]
    pub repair: Option<RepairReport>,
    /// What the search did; `null` for methods that do not search.
    #[serde(default)]
    pub search: Option<SearchReport>,
    /// How the encoder was trained; `null` for methods that do not search.
    #[serde(default)]
    pub encoder: Option<EncoderResult>,
    /// Every configuration that was measured.
    #[serde(default)]
    pub candidates: Vec<CandidateReport>,
    /// The best accuracies for their MACs, stage by stage.
    #[serde(default)]
    pub frontier: Frontier,
    /// Channels chosen by importance against channels chosen at random; `null` when that was not tried.
    #[serde(default)]
    pub channel_choice: Option<ChannelChoice>,
    /// `null` without data.
    #[serde(default)]
    pub data: Option<DataReport>,
    /// The original network.
    pub base: NetworkReport,
    /// The pruned network.
    pub pruned: NetworkReport,
    /// How good both networks are by the job's own measure; `null` without a data set.
    #[serde(default)]
    pub metric: Option<MetricReport>,
    /// What the outside judge said; absent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge: Option<JudgeReport>,
    /// What the repair in closed form did to the network, before it was trained; `null` where it was not tried.
    #[serde(default)]
    pub closed_form: Option<ClosedFormResult>,
    /// What the tensors mean that the model returns, with what the spec says of them.
    #[serde(default)]
    pub outputs: Vec<ModelOutput>,
    /// How its file was written; `null` in reports of before this was told.
    #[serde(default)]
    pub export: Option<ExportReport>,
    /// The sizes of input that it takes; `null` like `export`.
    #[serde(default)]
    pub sizes: Option<SizesReport>,
    /// Predicted and measured; `null` without a latency target.
    #[serde(default)]
    pub latency: Option<LatencyReport>,
    /// Share removed, by metric (`flops_reduction`, `params_reduction`, `channel_reduction`; `latency_reduction` as measured).
    pub reduction: BTreeMap<String, f64>,
    /// The width of every layer, before and after.
    pub layers: Vec<LayerWidth>,
    /// For every changed tensor, by name, per axis, the kept original indices.
    pub kept: AxisIndices,
    /// The check that the surgery changed nothing but what it removed.
    pub equivalence: Equivalence,
    /// Largest difference between the imported graph and the original file's own `forward`.
    pub import_max_abs_diff: f64,
    /// The comparison of the written file with the network in memory.
    pub reload: Reload,
    /// Validation accuracy after surgery and repair, before fine-tuning.
    pub screened_accuracy: Option<f64>,
    /// Epochs of the winner's full fine-tune; empty without one.
    pub epochs: Vec<Epoch>,
    /// Number of the epoch whose weights were exported, 0 for those before the first epoch; `null` without fine-tuning.
    pub best_epoch: Option<u32>,
    /// How the exported network was fine-tuned; `null` without fine-tuning.
    #[serde(default)]
    pub recipe: Option<Recipe>,
    /// What the job cost, beside a plain fine-tune of the exported network.
    #[serde(default)]
    pub compute: ComputeReport,
    /// Seconds of wall time, by stage.
    pub seconds: StageSeconds,
    /// Where the time of each stage went.
    #[serde(default)]
    pub times: StageTimes,
    /// The devices that computed each stage.
    #[serde(default)]
    pub devices: StageDevices,
    /// What earlier jobs on the same model and data set had measured already.
    #[serde(default)]
    pub reused: Reused,
    /// What confined the engine that wrote the report.
    #[serde(default)]
    pub sandbox: Sandbox,
    /// Versions of the programs that took part, by name.
    pub versions: BTreeMap<String, String>,
    /// The seed of all random choices, as in the spec.
    pub seed: u64,
    /// Of the original file, hexadecimal.
    pub model_sha256: String,
    /// Findings that a reader could otherwise miss, in whole sentences.
    pub warnings: Vec<String>,
}

#[cfg(any(test, feature = "testing"))]
impl Report {
    /// A made-up report of a job that halved the MACs with `uniform`, without labels or warnings to give.
    pub fn sample() -> Self {
        let latency_ms = Latency { p50: 2.0, p95: 3.0, batch: 1, threads: 1, device: "cpu".to_owned(), runs: 10 };
        let accuracy = Some(Accuracy { val: 0.9, test: 0.8 });
        let base = NetworkReport { macs: 200, params: 20, bytes: 1000, accuracy, latency_ms: latency_ms.clone() };
        let faster = Latency { p50: 1.0, p95: 1.5, ..latency_ms };
        Self {
            spec: JobSpec::from_json(r#"{"target": {"flops_reduction": 0.5}}"#).expect("the spec is valid"),
            winner: Origin::Uniform,
            spearman_rho: None,
            repair: None,
            similarity_correlation: None,
            sensitivity_correlation: None,
            regression_correlation: None,
            search: None,
            encoder: None,
            candidates: Vec::new(),
            frontier: Frontier::default(),
            channel_choice: None,
            data: None,
            metric: None,
            judge: None,
            closed_form: None,
            outputs: Vec::new(),
            export: None,
            sizes: None,
            latency: None,
            pruned: NetworkReport { macs: 100, params: 10, bytes: 500, latency_ms: faster, ..base.clone() },
            base,
            reduction: BTreeMap::from([("flops_reduction".to_owned(), 0.5)]),
            layers: Vec::new(),
            kept: AxisIndices::default(),
            equivalence: Equivalence { max_abs_diff: 0.0, tolerance: 1e-4 },
            import_max_abs_diff: 0.0,
            reload: Reload { batches: vec![1, 4], max_abs_diff: 0.0, tolerance: 1e-4 },
            screened_accuracy: None,
            epochs: Vec::new(),
            best_epoch: None,
            recipe: None,
            compute: ComputeReport::default(),
            seconds: StageSeconds::new(),
            times: StageTimes::new(),
            devices: StageDevices::new(),
            reused: Reused::default(),
            sandbox: Sandbox::default(),
            versions: BTreeMap::new(),
            seed: 0,
            model_sha256: "00".to_owned(),
            warnings: Vec::new(),
        }
    }
}

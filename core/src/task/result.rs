//! What each stage reports beside its files.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::latency::LatencyTable;
use crate::report::{Accuracy, ChannelChoice, Costs, DataReport, Epoch, Equivalence, Report, SearchReport};
use crate::search::additive::{Probe, Sensitivity};
use crate::search::calibration::Sampled;
use crate::spec::EncoderObjective;
use crate::stage::Stage;
use crate::statistics::RankCorrelation;

/// What a stage reports beside its files; stored with the task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "snake_case")]
pub enum TaskResult {
    Inspect(InspectResult),
    Import(ImportResult),
    Graph(GraphResult),
    Latency(Box<LatencyResult>),
    Importance(ImportanceResult),
    Calibration(CalibrationResult),
    Encoder(EncoderResult),
    Sensitivity(SensitivityResult),
    Search(SearchResult),
    Repair(RungResult),
    LightTune(RungResult),
    Screen(ScreenResult),
    Tune(TuneResult),
    Export(ExportResult),
    Verify(Box<VerifyResult>),
}

impl TaskResult {
    /// The stage that reports it.
    pub fn stage(&self) -> Stage {
        match self {
            Self::Inspect(_) => Stage::Inspect,
            Self::Import(_) => Stage::Import,
            Self::Graph(_) => Stage::Graph,
            Self::Latency(_) => Stage::Latency,
            Self::Importance(_) => Stage::Importance,
            Self::Calibration(_) => Stage::Calibration,
            Self::Encoder(_) => Stage::Encoder,
            Self::Sensitivity(_) => Stage::Sensitivity,
            Self::Search(_) => Stage::Search,
            Self::Screen(_) => Stage::Screen,
            Self::Repair(_) => Stage::Repair,
            Self::LightTune(_) => Stage::LightTune,
            Self::Tune(_) => Stage::Tune,
            Self::Export(_) => Stage::Export,
            Self::Verify(_) => Stage::Verify,
        }
    }
}

/// A result with where it was computed, as it is stored with the task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Computed {
    #[serde(flatten)]
    pub result: TaskResult,
    /// `cpu`, `cuda:0`.
    #[serde(default = "unknown_device")]
    pub device: String,
}

/// Results that were stored without a device.
fn unknown_device() -> String {
    "unknown".to_owned()
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct InspectResult {
    pub base: Costs,
    /// That can be cut.
    pub groups: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImportResult {
    /// Shapes of one sample of each input.
    pub input_shapes: Vec<Vec<i64>>,
    pub nodes: usize,
    /// Largest absolute difference between the imported graph's outputs and `Module::forward`'s.
    pub max_abs_diff: f64,
    /// Of MODEL.
    pub bytes: u64,
    /// Of MODEL, hexadecimal.
    pub sha256: String,
    /// Accuracy of the original; `None` without labels.
    #[serde(default)]
    pub accuracy: Option<Accuracy>,
    /// `None` without a data set.
    #[serde(default)]
    pub data: Option<Box<DataReport>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GraphResult {
    pub base: Costs,
    pub groups: usize,
    pub channels: u64,
    /// Largest share of the target's metric that the constraints let go; for a latency target the stage `latency` knows.
    #[serde(default)]
    pub reachable: Option<f64>,
    /// Digest of the groups, in their order: the same one means that indices of groups mean the same.
    pub grouping: String,
    /// The sensitivities that `sacp` is calibrated on.
    pub probes: Vec<Probe>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LatencyResult {
    pub table: LatencyTable,
    /// Largest share of the latency that the constraints let go, as the table predicts.
    pub reachable: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ImportanceResult {
    /// Samples on which gradients were taken.
    pub samples: u64,
    /// Mean of the loss over them.
    pub loss: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EncoderResult {
    /// As it was trained, which is `contrastive` without a data set.
    pub objective: EncoderObjective,
    /// Mean loss of each epoch, with `regression` of each pass over the sample.
    pub losses: Vec<f64>,
    /// Share of held-out pairs in which the positive is nearer to the anchor than the negative; `null` with `regression`.
    #[serde(default)]
    pub contrastive_accuracy: Option<f64>,
    /// The same after each epoch.
    #[serde(default)]
    pub contrastive_accuracies: Vec<f64>,
    /// Configurations that were measured for `regression`, the held-out ones included.
    #[serde(default)]
    pub samples: usize,
    /// Between prediction and measurement of the held-out configurations; `null` with `contrastive`. Half of them are spread over all
    /// reductions, which alone tell much: this is higher than inside the target's band.
    #[serde(default)]
    pub held_out: Option<RankCorrelation>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CalibrationResult {
    pub measured: Vec<Sampled>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SensitivityResult {
    pub measured: Vec<Sensitivity>,
}

/// A rung of successive halving: every candidate of a shard after the same little training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RungResult {
    /// Steps of training that each got.
    pub steps: u64,
    pub rated: Vec<Rated>,
}

/// A candidate after a rung.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rated {
    pub candidate: usize,
    pub score: Score,
}

/// What networks and epochs are compared by, on the validation split: the greater accuracy, of equals the smaller loss.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// `None` without labels.
    #[serde(default)]
    pub accuracy: Option<f64>,
    /// Cross-entropy, without labels the distillation loss.
    pub loss: f64,
}

impl Score {
    /// The loss of a network whose loss is not finite.
    pub const WORST_LOSS: f64 = f64::MAX;

    /// `Greater` for the better one.
    pub fn order(&self, other: &Self) -> Ordering {
        let accuracy = |score: &Self| score.accuracy.unwrap_or(0.0);
        accuracy(self).total_cmp(&accuracy(other)).then(other.loss.total_cmp(&self.loss))
    }

    pub fn is_better_than(&self, other: &Self) -> bool {
        self.order(other) == Ordering::Greater
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SearchResult {
    pub candidates: Vec<CandidateCosts>,
    /// What the search did; `None` for methods that do not search.
    #[serde(default)]
    pub search: Option<Box<SearchReport>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CandidateCosts {
    pub index: usize,
    pub origin: String,
    /// Digest of the configuration: the kept channels of every group.
    pub configuration: String,
    pub costs: Costs,
    /// Share removed of the target's metric.
    pub reduction: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub similarity: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicted_divergence: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicted_value: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScreenResult {
    pub screened: Vec<Screened>,
    /// Of the task that compared choices of channels.
    #[serde(default)]
    pub channel_choice: Option<ChannelChoice>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Screened {
    pub candidate: usize,
    pub equivalence: Equivalence,
    /// Validation accuracy right after surgery and BN recalibration; `None` without labels.
    #[serde(default)]
    pub accuracy: Option<f64>,
    /// Share of validation samples that get the same class as from the original, where there are no labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreement: Option<f64>,
}

impl Screened {
    /// What candidates are compared by: accuracy, without labels agreement with the original, without data nothing.
    pub fn value(&self) -> f64 {
        self.accuracy.or(self.agreement).unwrap_or(0.0)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TuneResult {
    pub candidate: usize,
    pub epochs: Vec<Epoch>,
    /// 0 when no epoch was better than the network before them.
    pub best_epoch: u32,
    /// Of the best epoch; `None` without labels.
    #[serde(default)]
    pub accuracy: Option<Accuracy>,
    /// Of the best epoch, which is chosen by it.
    pub score: Score,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExportResult {
    pub candidate: usize,
    pub base_bytes: u64,
    pub pruned_bytes: u64,
    /// Accuracy of the exported network; `None` without labels.
    #[serde(default)]
    pub accuracy: Option<Accuracy>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VerifyResult {
    pub report: Report,
}

//! What travels between a worker and the engine: one [`TaskRequest`] in, [`EngineMessage`]s out, as frames.
//!
//! A frame is a little-endian `u32` length and that many bytes of JSON. The worker writes the request to the engine's
//! standard input and keeps it open: when it closes, the engine exits, so no engine outlives its worker. The engine
//! sends frames on the descriptor that was its standard output (it moves that away first, since libtorch programs may
//! print), any number of progress, log and checkpoint frames and then exactly one outcome. Inputs and outputs are files with
//! the names in [`file`], in the folder that is the engine's working directory.

use std::io::{self, Read, Write};
use std::ops::Range;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use utoipa::ToSchema;

use crate::latency::LatencyTable;
use crate::measurement::Reused;
use crate::rejection::Rejection;
use crate::report::{
    Accuracy, CandidateReport, ChannelChoice, Costs, DataReport, Epoch, Equivalence, Report, SearchReport,
    StageDevices, StageSeconds,
};
use crate::search::additive::{Probe, Sensitivity};
use crate::search::calibration::Sampled;
use crate::spec::{EncoderObjective, JobSpec};
use crate::stage::Stage;
use crate::statistics::RankCorrelation;

/// Version of this protocol; an engine refuses every other.
pub const PROTOCOL: u32 = 2;

/// No frame is longer: 64 MiB.
pub const MAX_FRAME: u32 = 64 << 20;

/// Names of the files in a task's folder. A stage's outputs are later stages' inputs under the same name.
pub mod file {
    /// The user's TorchScript archive. Read by `import` only.
    pub const MODEL: &str = "model.pt";
    /// The user's data set, `.npz` or `.safetensors`, told apart by content.
    pub const DATASET: &str = "dataset";
    /// The imported graph ([`crate::graph::GraphFile`]).
    pub const GRAPH: &str = "graph.json";
    /// The original tensors by name.
    pub const WEIGHTS: &str = "weights.safetensors";
    /// Coupled groups, costs and limits of the model ([`crate::report::ModelSummary`]).
    pub const SUMMARY: &str = "summary.json";
    /// The configurations that the search proposes (a list of [`crate::candidate::Candidate`]).
    pub const CANDIDATES: &str = "candidates.json";
    /// The pruned TorchScript archive.
    pub const PRUNED_MODEL: &str = "pruned.pt";
    /// The original, written by the same exporter; for the latency before.
    pub const BASE_MODEL: &str = "base.pt";
    /// Mean |weight · gradient| of every weight, by the original names.
    pub const IMPORTANCE: &str = "importance.safetensors";
    /// The trained graph encoder, `w1` and `w2`, with a head `head` and `bias`.
    pub const ENCODER: &str = "encoder.safetensors";
    /// Inputs at two batch sizes and what the in-memory network answered.
    pub const PROBES: &str = "probes.safetensors";
    /// What an earlier attempt at the same task left; there only when it left something. Nobody but the engine reads it.
    pub const CHECKPOINT: &str = "checkpoint";
    pub const REPORT: &str = "report.json";
    pub const CONFIG: &str = "config.json";
    /// The graph of the pruned network, in the form of GRAPH.
    pub const PRUNED_GRAPH: &str = "pruned-graph.json";

    /// The tensors of a candidate after surgery and BN recalibration.
    pub fn screened(candidate: usize) -> String {
        format!("screened-{candidate}.safetensors")
    }

    /// The tensors of a candidate after its light fine-tune.
    pub fn lightly_tuned(candidate: usize) -> String {
        format!("light-{candidate}.safetensors")
    }

    /// The tensors of a candidate after fine-tuning.
    pub fn tuned(candidate: usize) -> String {
        format!("tuned-{candidate}.safetensors")
    }
}

/// The first frame, worker to engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskRequest {
    pub protocol: u32,
    pub spec: JobSpec,
    pub work: Work,
    /// Compute threads of the one pool.
    pub threads: usize,
    pub device: Device,
    /// The least seconds between two checkpoints; `None` when nobody would carry them on.
    #[serde(default)]
    pub checkpoint_interval_s: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Device {
    /// CUDA when libtorch has it and a GPU is there, else the CPU.
    Auto,
    Cpu,
    Cuda,
}

/// What one task does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "snake_case")]
pub enum Work {
    /// Reads MODEL (and DATASET when there is one, for the input shape); writes GRAPH, WEIGHTS.
    Import,
    /// Reads GRAPH, WEIGHTS; writes SUMMARY. Rejects an unreachable target.
    Graph,
    /// Reads GRAPH, WEIGHTS; measures the latency table. Rejects an unreachable target.
    Latency,
    /// Reads GRAPH, WEIGHTS, DATASET; writes IMPORTANCE.
    Importance,
    /// Reads GRAPH, WEIGHTS, IMPORTANCE?, DATASET; measures these numbers of the calibration sample.
    Calibration {
        sample: Range<usize>,
        /// With a latency target only.
        #[serde(default)]
        latency: Option<Box<LatencyTable>>,
    },
    /// Reads GRAPH, WEIGHTS; writes ENCODER. Fits the calibration sample when there is one, else trains by contrast.
    Encoder {
        #[serde(default)]
        calibration: Vec<Sampled>,
    },
    /// Reads GRAPH, WEIGHTS, IMPORTANCE?, DATASET; measures the shard's sensitivities.
    Sensitivity { probes: Vec<Probe> },
    /// Reads GRAPH, WEIGHTS, IMPORTANCE?, ENCODER?; writes CANDIDATES.
    Search {
        #[serde(default)]
        sensitivities: Vec<Sensitivity>,
        #[serde(default)]
        latency: Option<Box<LatencyTable>>,
    },
    /// Reads GRAPH, WEIGHTS, IMPORTANCE?, CANDIDATES, DATASET?; for each candidate of the shard: cut, oracle, BN
    /// recalibration, accuracy; writes `screened(candidate)`. For one candidate of the job other channels are tried at its
    /// widths too.
    Screen {
        candidates: Vec<usize>,
        #[serde(default)]
        compare_channels_of: Option<usize>,
    },
    /// Reads GRAPH, WEIGHTS, CANDIDATES, DATASET, `screened(candidate)` of the shard; fine-tunes each for
    /// `light_epochs`; writes `lightly_tuned(candidate)`. A `screened(candidate)` that is not there, because an earlier job's
    /// screen was taken over, is made again, here and in the stages below.
    LightTune { candidates: Vec<usize> },
    /// Reads GRAPH, WEIGHTS, CANDIDATES, DATASET, `lightly_tuned(candidate)` or else `screened(candidate)`; writes
    /// `tuned(candidate)`.
    Tune { candidate: usize },
    /// Reads GRAPH, WEIGHTS, CANDIDATES, DATASET?, `tuned(candidate)` or else `screened(candidate)`; writes PRUNED_MODEL,
    /// BASE_MODEL, PROBES, CONFIG, PRUNED_GRAPH. Rejects an accuracy that fell by more than `max_accuracy_drop`.
    Export { candidate: usize, tuned: bool },
    /// In a fresh process: reads GRAPH, PRUNED_MODEL, BASE_MODEL, PROBES, CANDIDATES; reloads, compares, times; writes REPORT.
    Verify { history: Box<History> },
}

impl Work {
    /// The stage that it belongs to.
    pub fn stage(&self) -> Stage {
        match self {
            Self::Import => Stage::Import,
            Self::Graph => Stage::Graph,
            Self::Latency => Stage::Latency,
            Self::Importance => Stage::Importance,
            Self::Calibration { .. } => Stage::Calibration,
            Self::Encoder { .. } => Stage::Encoder,
            Self::Sensitivity { .. } => Stage::Sensitivity,
            Self::Search { .. } => Stage::Search,
            Self::Screen { .. } => Stage::Screen,
            Self::LightTune { .. } => Stage::LightTune,
            Self::Tune { .. } => Stage::Tune,
            Self::Export { .. } => Stage::Export,
            Self::Verify { .. } => Stage::Verify,
        }
    }
}

/// What the earlier stages of the job found, for the report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct History {
    pub import: ImportResult,
    /// With a latency target only.
    #[serde(default)]
    pub latency: Option<Box<LatencyTable>>,
    #[serde(default)]
    pub encoder: Option<EncoderResult>,
    #[serde(default)]
    pub search: Option<SearchReport>,
    #[serde(default)]
    pub proposed: Vec<CandidateCosts>,
    #[serde(default)]
    pub lightly_tuned: Vec<LightlyTuned>,
    pub screened: Vec<Screened>,
    #[serde(default)]
    pub channel_choice: Option<ChannelChoice>,
    pub tuned: Vec<TuneResult>,
    pub export: ExportResult,
    /// Index of the exported candidate.
    pub winner: usize,
    pub seconds: StageSeconds,
    #[serde(default)]
    pub devices: StageDevices,
    #[serde(default)]
    pub reused: Reused,
}

impl History {
    /// Every configuration that was proposed, with all that was measured of it.
    pub fn candidates(&self) -> Vec<CandidateReport> {
        let proposed: Vec<&CandidateCosts> = self.proposed.iter().collect();
        let screened: Vec<&Screened> = self.screened.iter().collect();
        let light: Vec<&LightlyTuned> = self.lightly_tuned.iter().collect();
        let tuned: Vec<&TuneResult> = self.tuned.iter().collect();
        measured(&proposed, &screened, &light, &tuned)
    }
}

/// Joins what the stages found out about each proposed candidate, in the order of the proposals.
pub fn measured(
    proposed: &[&CandidateCosts],
    screened: &[&Screened],
    light: &[&LightlyTuned],
    tuned: &[&TuneResult],
) -> Vec<CandidateReport> {
    let report = |proposed: &&CandidateCosts| {
        let index = proposed.index;
        let tuned = tuned.iter().find(|tuned| tuned.candidate == index);
        CandidateReport {
            index,
            origin: proposed.origin.clone(),
            macs: proposed.costs.macs,
            params: proposed.costs.params,
            reduction: proposed.reduction,
            similarity: proposed.similarity,
            predicted_divergence: proposed.predicted_divergence,
            predicted_latency_ms: proposed.costs.latency_ms,
            predicted_value: proposed.predicted_value,
            screened_accuracy: screened.iter().find(|other| other.candidate == index).and_then(|found| found.accuracy),
            light_accuracy: light.iter().find(|other| other.candidate == index).and_then(|found| found.accuracy),
            tuned_accuracy: tuned.and_then(|tuned| tuned.accuracy).map(|accuracy| accuracy.val),
        }
    };
    proposed.iter().map(report).collect()
}

/// Engine to worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum EngineMessage {
    Progress(Progress),
    /// A line for the job's `log.txt`.
    Log {
        message: String,
    },
    /// A file in the task's folder from which another attempt can go on. It is the worker's from now on.
    Checkpoint {
        file: String,
    },
    Outcome(Outcome),
}

/// How far a task is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Progress {
    pub done: u64,
    pub total: u64,
    /// What is counted: `epochs`, `candidates`, `steps`.
    pub unit: String,
    /// Units per second, over the last few seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// A figure worth showing: `validation accuracy 0.953`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// The last frame of an engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    Done {
        result: TaskResult,
        files: Vec<String>,
        /// What computed it: `cpu`, `cuda:0`.
        device: String,
    },
    /// The user can mend it; permanent.
    Rejected { rejection: Rejection },
    /// Our bug or the world's accident, with everything for the log.
    Failed { message: String },
}

/// What a stage reports beside its files; stored with the task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "snake_case")]
pub enum TaskResult {
    Import(ImportResult),
    Graph(GraphResult),
    Latency(Box<LatencyResult>),
    Importance(ImportanceResult),
    Calibration(CalibrationResult),
    Encoder(EncoderResult),
    Sensitivity(SensitivityResult),
    Search(SearchResult),
    LightTune(LightTuneResult),
    Screen(ScreenResult),
    Tune(TuneResult),
    Export(ExportResult),
    Verify(Box<VerifyResult>),
}

impl TaskResult {
    /// The stage that reports it.
    pub fn stage(&self) -> Stage {
        match self {
            Self::Import(_) => Stage::Import,
            Self::Graph(_) => Stage::Graph,
            Self::Latency(_) => Stage::Latency,
            Self::Importance(_) => Stage::Importance,
            Self::Calibration(_) => Stage::Calibration,
            Self::Encoder(_) => Stage::Encoder,
            Self::Sensitivity(_) => Stage::Sensitivity,
            Self::Search(_) => Stage::Search,
            Self::Screen(_) => Stage::Screen,
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

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LightTuneResult {
    pub tuned: Vec<LightlyTuned>,
}

/// A candidate after its light fine-tune.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LightlyTuned {
    pub candidate: usize,
    /// Validation accuracy; `None` without labels.
    #[serde(default)]
    pub accuracy: Option<f64>,
    /// As [`TuneResult::score`].
    pub score: f64,
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
    /// 0 when no epoch was better than the screened network.
    pub best_epoch: u32,
    /// Of the best epoch; `None` without labels.
    #[serde(default)]
    pub accuracy: Option<Accuracy>,
    /// What the best epoch is chosen by: validation accuracy, or minus the distillation loss when there are no labels.
    pub score: f64,
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

/// Writes one frame.
pub fn write_frame<T: Serialize>(writer: &mut impl Write, message: &T) -> io::Result<()> {
    let bytes = serde_json::to_vec(message)?;
    let length = u32::try_from(bytes.len()).ok().filter(|&length| length <= MAX_FRAME);
    let length = length.ok_or_else(|| io::Error::other(format!("a frame of {} bytes is too long", bytes.len())))?;
    writer.write_all(&length.to_le_bytes())?;
    writer.write_all(&bytes)?;
    writer.flush()
}

/// Reads one frame; `None` when the other side closed between frames.
pub fn read_frame<T: DeserializeOwned>(reader: &mut impl Read) -> io::Result<Option<T>> {
    let mut length = [0; 4];
    match reader.read_exact(&mut length) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let length = u32::from_le_bytes(length);
    if length > MAX_FRAME {
        return Err(io::Error::other(format!(
            "a frame of {length} bytes is announced, at most {MAX_FRAME} are allowed"
        )));
    }
    let mut bytes = vec![0; length as usize];
    reader.read_exact(&mut bytes)?;
    Ok(Some(serde_json::from_slice(&bytes)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_reads_back_as_it_was_written() {
        let message = EngineMessage::Log { message: "ünïcode\n".to_owned() };
        let mut bytes = Vec::new();
        write_frame(&mut bytes, &message).unwrap();
        write_frame(&mut bytes, &message).unwrap();
        let mut reader = bytes.as_slice();
        assert_eq!(read_frame::<EngineMessage>(&mut reader).unwrap(), Some(message.clone()));
        assert_eq!(read_frame::<EngineMessage>(&mut reader).unwrap(), Some(message));
        assert_eq!(read_frame::<EngineMessage>(&mut reader).unwrap(), None);
    }

    #[test]
    fn a_frame_that_announces_too_much_is_refused_before_it_is_allocated() {
        let mut bytes = &(MAX_FRAME + 1).to_le_bytes()[..];
        assert!(read_frame::<EngineMessage>(&mut bytes).is_err());
    }
}

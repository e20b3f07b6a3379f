//! Worker to engine: what one task is to do.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::History;
use crate::latency::LatencyTable;
use crate::search::additive::{Probe, Sensitivity};
use crate::search::calibration::Sampled;
use crate::spec::JobSpec;
use crate::stage::Stage;

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
    /// Reads MODEL; writes SUMMARY. Of the spec it reads the input shape alone.
    Inspect,
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
    /// Reads GRAPH, WEIGHTS, CANDIDATES, DATASET, `screened(candidate)` of the shard; takes each through `repair_steps` steps of
    /// distillation; writes `repaired(candidate)`. A `screened(candidate)` that is not there, because an earlier job's screen was
    /// taken over, is made again, here and in the stages below.
    Repair { candidates: Vec<usize> },
    /// Reads GRAPH, WEIGHTS, CANDIDATES, DATASET, `repaired(candidate)` or else `screened(candidate)` of the shard; fine-tunes
    /// each for `light_epochs`; writes `lightly_tuned(candidate)`.
    LightTune { candidates: Vec<usize> },
    /// Reads GRAPH, WEIGHTS, CANDIDATES, DATASET, `lightly_tuned(candidate)`, `repaired(candidate)` or else `screened(candidate)`;
    /// writes `tuned(candidate)`.
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
            Self::Inspect => Stage::Inspect,
            Self::Import => Stage::Import,
            Self::Graph => Stage::Graph,
            Self::Latency => Stage::Latency,
            Self::Importance => Stage::Importance,
            Self::Calibration { .. } => Stage::Calibration,
            Self::Encoder { .. } => Stage::Encoder,
            Self::Sensitivity { .. } => Stage::Sensitivity,
            Self::Search { .. } => Stage::Search,
            Self::Screen { .. } => Stage::Screen,
            Self::Repair { .. } => Stage::Repair,
            Self::LightTune { .. } => Stage::LightTune,
            Self::Tune { .. } => Stage::Tune,
            Self::Export { .. } => Stage::Export,
            Self::Verify { .. } => Stage::Verify,
        }
    }
}

//! What the stages of a job have found out before the report is written.

use serde::{Deserialize, Serialize};

use super::candidate::{CandidateReport, join};
use super::{ExportReport, Reused, SizesReport, StageDevices, StageSeconds, StageTimes};
use crate::configuration::CandidateCosts;
use crate::latency::LatencyTable;
use crate::recovery::{Accuracy, ChannelChoice, DataReport, Judgement, MetricReport, Rated, Screened, TuneResult};
use crate::search::SearchReport;
use crate::search::encoder::EncoderResult;

/// What the stages of a job have found out before the report is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// The user's network.
    pub original: Original,
    /// With a latency target only.
    #[serde(default)]
    pub latency: Option<Box<LatencyTable>>,
    /// With `sacp` only.
    #[serde(default)]
    pub encoder: Option<EncoderResult>,
    /// With `sacp` only.
    #[serde(default)]
    pub search: Option<SearchReport>,
    /// Every proposed candidate.
    #[serde(default)]
    pub proposed: Vec<CandidateCosts>,
    /// Steps of the repair; `None` without one.
    #[serde(default)]
    pub repair_steps: Option<u64>,
    /// Candidates after the repair.
    #[serde(default)]
    pub repaired: Vec<Rated>,
    /// Candidates after the light fine-tune.
    #[serde(default)]
    pub lightly_tuned: Vec<Rated>,
    /// Candidates after the screen.
    pub screened: Vec<Screened>,
    /// Channels by importance against random ones; `None` when that was not tried.
    #[serde(default)]
    pub channel_choice: Option<ChannelChoice>,
    /// Every training of a candidate.
    #[serde(default)]
    pub trained: Vec<Training>,
    /// Candidates after the full fine-tune.
    pub tuned: Vec<TuneResult>,
    /// With a judge only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judgement: Option<Judgement>,
    /// The written file.
    pub exported: Exported,
    /// Index of the exported candidate.
    pub winner: usize,
    /// Seconds that the tasks of each stage ran.
    pub seconds: StageSeconds,
    /// Where that time went.
    #[serde(default)]
    pub times: StageTimes,
    /// What computed each stage.
    #[serde(default)]
    pub devices: StageDevices,
    /// What was taken over from earlier jobs.
    #[serde(default)]
    pub reused: Reused,
}

/// A training of one candidate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// The name of the stage.
    pub stage: String,
    /// Index of the candidate.
    pub candidate: usize,
    /// Passes over the training split.
    pub epochs: f64,
}

/// The user's network as the import found it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Original {
    /// Of the file.
    pub bytes: u64,
    /// Of the file, hexadecimal.
    pub sha256: String,
    /// `None` without labels.
    #[serde(default)]
    pub accuracy: Option<Accuracy>,
    /// Largest difference between the imported graph and the file's own `forward`.
    pub max_abs_diff: f64,
    /// `None` without a data set.
    #[serde(default)]
    pub data: Option<DataReport>,
}

/// The pruned file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Exported {
    /// Of the file.
    pub bytes: u64,
    /// Of the exported network; `None` without labels.
    #[serde(default)]
    pub accuracy: Option<Accuracy>,
    /// By the job's own measure; `None` without a data set.
    #[serde(default)]
    pub metric: Option<MetricReport>,
    /// How it was written.
    #[serde(default)]
    pub export: Option<ExportReport>,
    /// The sizes of input that it takes.
    #[serde(default)]
    pub sizes: Option<SizesReport>,
}

impl History {
    /// Every configuration that was proposed, with all that was measured of it.
    pub fn candidates(&self) -> Vec<CandidateReport> {
        let proposed: Vec<&CandidateCosts> = self.proposed.iter().collect();
        let screened: Vec<&Screened> = self.screened.iter().collect();
        let repaired: Vec<&Rated> = self.repaired.iter().collect();
        let light: Vec<&Rated> = self.lightly_tuned.iter().collect();
        let tuned: Vec<&TuneResult> = self.tuned.iter().collect();
        join(&proposed, &screened, &repaired, &light, &tuned)
    }
}

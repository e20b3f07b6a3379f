//! What the stages of a job found out, joined.

use serde::{Deserialize, Serialize};

use super::{CandidateCosts, EncoderResult, ExportResult, ImportResult, Rated, Screened, TuneResult};
use crate::latency::LatencyTable;
use crate::measurement::Reused;
use crate::report::{CandidateReport, ChannelChoice, SearchReport, StageDevices, StageSeconds};

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
    /// Steps of the repair; `None` without one.
    #[serde(default)]
    pub repair_steps: Option<u64>,
    #[serde(default)]
    pub repaired: Vec<Rated>,
    #[serde(default)]
    pub lightly_tuned: Vec<Rated>,
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
        let repaired: Vec<&Rated> = self.repaired.iter().collect();
        let light: Vec<&Rated> = self.lightly_tuned.iter().collect();
        let tuned: Vec<&TuneResult> = self.tuned.iter().collect();
        measured(&proposed, &screened, &repaired, &light, &tuned)
    }
}

/// Joins what the stages found out about each proposed candidate, in the order of the proposals.
pub fn measured(
    proposed: &[&CandidateCosts],
    screened: &[&Screened],
    repaired: &[&Rated],
    light: &[&Rated],
    tuned: &[&TuneResult],
) -> Vec<CandidateReport> {
    let accuracy_of = |rung: &[&Rated], candidate| {
        rung.iter().find(|rated| rated.candidate == candidate).and_then(|rated| rated.score.accuracy)
    };
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
            repaired_accuracy: accuracy_of(repaired, index),
            light_accuracy: accuracy_of(light, index),
            tuned_accuracy: tuned.and_then(|tuned| tuned.accuracy).map(|accuracy| accuracy.val),
        }
    };
    proposed.iter().map(report).collect()
}

//! Every configuration that a job tried, with all that was measured of it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::configuration::{CandidateCosts, Origin};
use crate::recovery::{Rated, Screened, TuneResult};

/// One configuration that was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CandidateReport {
    /// Place of the candidate in the job's list, from 0.
    pub index: usize,
    /// The method or ranking that proposed it.
    #[schema(value_type = String)]
    pub origin: Origin,
    /// Multiply-accumulates of one sample.
    pub macs: u64,
    /// Elements of all parameters.
    pub params: u64,
    /// Share removed of the target's metric.
    pub reduction: f64,
    /// Kept channels of each coupled group that can be pruned, in the order of the model's `groups`; empty in jobs of before they were kept.
    #[serde(default)]
    pub widths: Vec<usize>,
    /// Cosine between its embedding and the unpruned network's; with `sacp` and a contrastive encoder only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub similarity: Option<f64>,
    /// Predicted KL divergence of its outputs from the original's, nats; with `sacp` and a data set only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicted_divergence: Option<f64>,
    /// By the job's latency table; with a latency target only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicted_latency_ms: Option<f64>,
    /// What the encoder predicts, with `regression`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicted_value: Option<f64>,
    /// Validation accuracy after surgery, repaired in closed form or with re-estimated batch norm statistics.
    pub screened_accuracy: Option<f64>,
    /// Validation accuracy after the repair, some steps of distillation.
    #[serde(default)]
    pub repaired_accuracy: Option<f64>,
    /// Validation accuracy after the light fine-tune.
    pub light_accuracy: Option<f64>,
    /// Validation accuracy after the full fine-tune.
    pub tuned_accuracy: Option<f64>,
    /// Without labels, in the place of each of these accuracies: how true the network is to the original on the validation split, by the
    /// report's `metric`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub screened_metric: Option<f64>,
    /// After the repair; see `screened_metric`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repaired_metric: Option<f64>,
    /// After the light fine-tune; see `screened_metric`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub light_metric: Option<f64>,
    /// After the full fine-tune; see `screened_metric`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tuned_metric: Option<f64>,
}

/// Joins what the stages found out about each proposed candidate, in the order of the proposals.
pub fn join(
    proposed: &[&CandidateCosts],
    screened: &[&Screened],
    repaired: &[&Rated],
    light: &[&Rated],
    tuned: &[&TuneResult],
) -> Vec<CandidateReport> {
    let score = |rung: &[&Rated], candidate| {
        rung.iter().find(|rated| rated.candidate == candidate).map(|rated| (rated.score.accuracy, rated.score.metric))
    };
    let report = |proposed: &&CandidateCosts| {
        let index = proposed.index;
        let tuned = tuned.iter().find(|tuned| tuned.candidate == index);
        let screened = screened.iter().find(|other| other.candidate == index);
        let (repaired_accuracy, repaired_metric) = score(repaired, index).unwrap_or_default();
        let (light_accuracy, light_metric) = score(light, index).unwrap_or_default();
        CandidateReport {
            index,
            origin: proposed.origin,
            macs: proposed.costs.macs,
            params: proposed.costs.params,
            reduction: proposed.reduction,
            widths: proposed.widths.clone(),
            similarity: proposed.similarity,
            predicted_divergence: proposed.predicted_divergence,
            predicted_latency_ms: proposed.costs.latency_ms,
            predicted_value: proposed.predicted_value,
            screened_accuracy: screened.and_then(|found| found.accuracy),
            repaired_accuracy,
            light_accuracy,
            tuned_accuracy: tuned.and_then(|tuned| tuned.accuracy).map(|accuracy| accuracy.val),
            screened_metric: screened.and_then(|found| found.metric),
            repaired_metric,
            light_metric,
            tuned_metric: tuned.and_then(|tuned| tuned.score.metric),
        }
    };
    proposed.iter().map(report).collect()
}

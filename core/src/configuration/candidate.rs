//! Configurations that are tried, with what they cost and where they came from.

use serde::{Deserialize, Serialize};

use super::Configuration;
use super::origin::Origin;
use crate::cost::{CostModel, Costs};

/// A configuration with what it costs and where it came from; `candidates.json` is a list of these.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// Place of the candidate in the job's list, from 0; stages and reports refer to it by this number.
    pub index: usize,
    /// What proposed it.
    pub origin: Origin,
    /// The kept channels of every group.
    pub configuration: Configuration,
    /// Multiply-accumulates of one sample.
    pub macs: u64,
    /// Elements of all parameters.
    pub params: u64,
    /// Kept channels, summed over all groups.
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
    /// A candidate with the costs that the model gives its widths, and without predictions.
    pub fn new(index: usize, origin: Origin, configuration: Configuration, costs: &CostModel) -> Self {
        let Costs { macs, params, channels, latency_ms } = costs.at(&configuration.widths());
        Self {
            index,
            origin,
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

    /// The candidate's costs as one value.
    pub fn costs(&self) -> Costs {
        Costs { macs: self.macs, params: self.params, channels: self.channels, latency_ms: self.latency_ms }
    }
}

/// A candidate's costs and predictions without its channels, as the job's history keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CandidateCosts {
    /// Place of the candidate in the job's list, from 0.
    pub index: usize,
    /// The method or ranking that proposed it.
    pub origin: Origin,
    /// Digest of the configuration: the kept channels of every group.
    pub configuration: String,
    /// What the pruned network costs.
    pub costs: Costs,
    /// Share removed of the target's metric.
    pub reduction: f64,
    /// Kept channels of each group; empty in results of before they were kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub widths: Vec<usize>,
    /// As [`Candidate::similarity`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub similarity: Option<f64>,
    /// As [`Candidate::predicted_divergence`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicted_divergence: Option<f64>,
    /// As [`Candidate::predicted_value`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicted_value: Option<f64>,
}

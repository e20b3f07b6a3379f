//! Configurations that are tried, with what they cost and where they came from.

use serde::{Deserialize, Serialize};

use super::Configuration;
use super::origin::Origin;
use crate::cost::{CostModel, Costs};

/// A configuration with what it costs and where it came from; `candidates.json` is a list of these.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    pub index: usize,
    /// What proposed it.
    pub origin: Origin,
    pub configuration: Configuration,
    pub macs: u64,
    pub params: u64,
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

    pub fn costs(&self) -> Costs {
        Costs { macs: self.macs, params: self.params, channels: self.channels, latency_ms: self.latency_ms }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CandidateCosts {
    pub index: usize,
    pub origin: Origin,
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

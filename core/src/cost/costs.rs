//! What a network costs.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::metric::Metric;

/// What a network costs; multiply-accumulates are of one sample through convolutions, linear layers and matrix products.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Costs {
    /// Multiply-accumulates of one sample.
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

impl Costs {
    /// The value of a metric; 0 for a latency that was not measured.
    pub fn of(self, metric: Metric) -> f64 {
        match metric {
            Metric::Flops => self.macs as f64,
            Metric::Params => self.params as f64,
            Metric::Channels => self.channels as f64,
            Metric::Latency => self.latency_ms.unwrap_or(0.0),
        }
    }
}

/// The share removed of a metric; nothing of a latency that was not measured.
pub fn reduction(metric: Metric, base: Costs, pruned: Costs) -> f64 {
    let before = base.of(metric);
    if before == 0.0 { 0.0 } else { 1.0 - pruned.of(metric) / before }
}

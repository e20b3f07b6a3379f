//! What a target counts.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The metric that a target counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Multiply-accumulates of one sample through convolutions, linear layers and matrix products.
    Flops,
    /// Elements of all parameters (buffers are not counted).
    Params,
    /// Prunable channels, over all coupled groups.
    Channels,
    /// Wall time of one forward pass at batch 1 on the device that runs the job, by a table measured in it.
    Latency,
}

impl Metric {
    /// Every metric, in the order of the reports.
    pub const ALL: [Self; 4] = [Self::Flops, Self::Params, Self::Channels, Self::Latency];

    /// Those that the graph alone tells.
    pub const COUNTED: [Self; 3] = [Self::Flops, Self::Params, Self::Channels];

    /// Name of the target's field in specs and reports, such as `flops_reduction`.
    pub fn field(self) -> &'static str {
        match self {
            Self::Flops => "flops_reduction",
            Self::Params => "params_reduction",
            Self::Channels => "channel_reduction",
            Self::Latency => "latency_reduction",
        }
    }
}

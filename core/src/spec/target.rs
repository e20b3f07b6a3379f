//! What a job is to remove.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::cost::Metric;
use crate::number::{Reduction, UnitInterval};

/// What is to be removed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "TargetWire", into = "TargetWire")]
pub struct Target {
    /// The metric of which a share is to be removed.
    pub metric: Metric,
    /// The share to be removed, above 0 and below 1.
    pub reduction: Reduction,
    /// The job fails cleanly when the validation metric (`metric` in the report) drops by more than this.
    pub max_metric_drop: Option<UnitInterval>,
}

/// Exactly one of the reductions.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Target)]
#[serde(deny_unknown_fields)]
pub struct TargetWire {
    /// Share of the multiply-accumulates of one sample: those of convolutions, linear layers, recurrent layers and matrix products.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    flops_reduction: Option<Reduction>,
    /// Share of the parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    params_reduction: Option<Reduction>,
    /// Share of the channels that can be pruned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    channel_reduction: Option<Reduction>,
    /// Share of the time of one forward pass at batch 1 on the device that runs the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    latency_reduction: Option<Reduction>,
    /// The job fails cleanly when the metric of the report drops by more than this on the validation split: accuracy, or without labels how
    /// true the network is to the original, which starts at 1. Its former name, `max_accuracy_drop`, still works.
    #[serde(default, skip_serializing_if = "Option::is_none", alias = "max_accuracy_drop")]
    max_metric_drop: Option<UnitInterval>,
}

impl TryFrom<TargetWire> for Target {
    type Error = String;

    fn try_from(wire: TargetWire) -> Result<Self, String> {
        let given: Vec<(Metric, Reduction)> = [
            (Metric::Flops, wire.flops_reduction),
            (Metric::Params, wire.params_reduction),
            (Metric::Channels, wire.channel_reduction),
            (Metric::Latency, wire.latency_reduction),
        ]
        .into_iter()
        .filter_map(|(metric, reduction)| reduction.map(|reduction| (metric, reduction)))
        .collect();
        match given[..] {
            [(metric, reduction)] => Ok(Self { metric, reduction, max_metric_drop: wire.max_metric_drop }),
            _ => Err(format!(
                "{} reductions given: exactly one of {} is needed",
                given.len(),
                Metric::ALL.map(|metric| format!("`{}`", metric.field())).join(", ")
            )),
        }
    }
}

impl From<Target> for TargetWire {
    fn from(target: Target) -> Self {
        let only = |metric| (target.metric == metric).then_some(target.reduction);
        Self {
            flops_reduction: only(Metric::Flops),
            params_reduction: only(Metric::Params),
            channel_reduction: only(Metric::Channels),
            latency_reduction: only(Metric::Latency),
            max_metric_drop: target.max_metric_drop,
        }
    }
}

/// How far a configuration's reduction may lie from the target: one percentage point.
pub const TARGET_TOLERANCE: f64 = 0.01;

//! What a candidate came from.

use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

/// What proposed a candidate: a ranking of `sacp`, its greedy allocation, or one of the other methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Origin {
    /// Best by the cosine between embeddings.
    Similarity,
    /// Best by the sum of the groups' sensitivities; results of version 0.1 call it `calibrated`.
    #[serde(alias = "calibrated")]
    Sensitivity,
    /// Best by the prediction of an encoder that was fitted to measured configurations.
    Regression,
    /// The greedy allocation by sensitivity: from the whole network on, always the step that costs least for what it removes.
    GreedySensitivity,
    /// The method `uniform`.
    Uniform,
    /// The method `global_l1`.
    GlobalL1,
    /// The method `global_l2`.
    GlobalL2,
    /// A replayed configuration.
    Config,
}

impl Origin {
    /// The name in results and reports.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Whether it is one that a job with `sacp` must not fall behind: the classical methods and the greedy allocation.
    pub fn is_baseline(self) -> bool {
        match self {
            Self::Uniform | Self::GlobalL1 | Self::GlobalL2 | Self::GreedySensitivity => true,
            Self::Similarity | Self::Sensitivity | Self::Regression | Self::Config => false,
        }
    }
}

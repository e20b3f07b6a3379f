//! What a user forbids.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::number::{Positive, UnitInterval};

/// The limits that a job sets on the widths of its layers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Constraints {
    /// Kept channel counts are multiples of this.
    pub round_to: Positive,
    /// No group loses a larger share of its channels.
    pub max_layer_reduction: UnitInterval,
    /// Names of layers (with `*` and `?`) whose output channels stay as they are; each has 1 to 512 characters.
    #[schema(max_items = 1000)]
    pub ignore: Vec<String>,
    /// Limits by layer name (with `*` and `?`), 1 to 512 characters.
    pub layers: BTreeMap<String, LayerLimit>,
}

impl Default for Constraints {
    fn default() -> Self {
        Self {
            round_to: Positive::ONE,
            max_layer_reduction: UnitInterval::new(0.9),
            ignore: Vec::new(),
            layers: BTreeMap::new(),
        }
    }
}

/// The limit of the layers that one pattern names.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LayerLimit {
    /// Largest share of the output channels that these layers may lose.
    pub max_reduction: UnitInterval,
}

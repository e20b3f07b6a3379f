//! How pictures of any size become those that a model takes.

use serde::{Deserialize, Serialize};
use strum::{EnumMessage, VariantArray};
use utoipa::ToSchema;

/// What is done with a picture that does not have the model's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, EnumMessage, VariantArray)]
#[serde(rename_all = "snake_case")]
pub enum ResizePolicy {
    /// The shorter side is resized to `size`, then the middle is cut out: torchvision's `Resize(size)` and `CenterCrop`.
    Crop,
    /// Resized to the model's height and width, whatever that does to the proportions.
    Stretch,
    /// Nothing: a picture of another size is a bad sample.
    None,
}

/// The rule for pictures.
///
/// Without a rule pictures of the model's size stay as they are, and others are cropped where the model takes 64 x 64 or
/// more, and stretched where it takes less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Resize {
    /// What is done.
    pub policy: ResizePolicy,
    /// The shorter side before the middle is cut out, `policy: crop` only; by default the model's height times 256 / 224, rounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 65_536)]
    pub size: Option<usize>,
}

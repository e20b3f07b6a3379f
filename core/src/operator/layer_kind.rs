//! What the graph encoder of the search takes an operator for.

use serde::{Deserialize, Serialize};

/// The kind of a layer, as the graph encoder of the search tells layers apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LayerKind {
    /// A convolution of any number of spatial dimensions.
    Convolution,
    /// A batch normalisation.
    BatchNorm,
    /// A pooling, or an average over dimensions.
    Pooling,
    /// A product with a weight matrix.
    Linear,
    /// An addition.
    Add,
    /// A concatenation.
    Concat,
}

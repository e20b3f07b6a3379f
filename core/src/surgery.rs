//! Physical surgery: from a configuration to the cut graph and the kept indices of every tensor.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::candidate::Configuration;
use crate::graph::Graph;
use crate::group::Grouping;

/// Indices of tensors by parameter name and axis; the format of `kept` in `report.json`.
///
/// On the wire `{"layer1.0.conv1.weight": {"0": [0, 2, 5], "1": [1, 3]}}`. For a grouped convolution axis 1 counts inside a group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct AxisIndices(pub BTreeMap<String, BTreeMap<usize, Vec<u32>>>);

/// A network cut by a configuration.
#[derive(Debug, Clone)]
pub struct Cut {
    /// Smaller shapes, rewritten literals; the same nodes, parameters and names.
    pub graph: Graph,
    /// For every changed tensor, per changed axis, the kept original indices, ascending.
    pub kept: AxisIndices,
    /// For the oracle: the input columns of consumers that are removed. Zeroing these in the original must not change
    /// what the cut network computes.
    pub zeroed: AxisIndices,
}

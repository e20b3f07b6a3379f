//! What a person reads of a network: its layers, groups, costs and limits.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::export::ExpectedExport;
use super::obstacle::Obstacle;
use crate::cost::Costs;
use crate::graph::FreeSize;
use crate::output::ModelOutput;

/// `summary.json`: what the graph stage knows of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ModelSummary {
    /// Shapes of one sample of each input.
    pub inputs: Vec<Vec<i64>>,
    /// What the uncut network costs.
    pub base: Costs,
    /// Every layer, in program order.
    pub layers: Vec<LayerSummary>,
    /// Between what data flow, by places: those in `layers`, and behind them those in `joins`.
    #[serde(default)]
    pub connections: Vec<(usize, usize)>,
    /// Operators that are no layers and in which data of several meet, such as `add`.
    #[serde(default)]
    pub joins: Vec<String>,
    /// Every coupled channel group, those that cannot be pruned included.
    pub groups: Vec<GroupSummary>,
    /// Largest share that default constraints allow to remove, by metric.
    pub reachable: BTreeMap<String, f64>,
    /// Logarithm to base 10 of the number of configurations that default constraints allow.
    #[serde(default)]
    pub log10_space: f64,
    /// The nodes that no channel can pass, those that hold most channels first.
    #[serde(default)]
    pub obstacles: Vec<Obstacle>,
    /// Branches and loops of the program that depend on the size of the input, by module and line; those of the given size
    /// were taken.
    #[serde(default)]
    pub specialisations: Vec<String>,
    /// Sizes of the inputs, besides the batch, that the program leaves open.
    #[serde(default)]
    pub free_sizes: Vec<FreeSize>,
    /// What the tensors mean that the model returns.
    #[serde(default)]
    pub outputs: Vec<ModelOutput>,
    /// How a pruned file of this model would be written; `null` when that is not known: nothing can be pruned, or the import took so long
    /// that it was not tried.
    #[serde(default)]
    pub export: Option<ExpectedExport>,
    /// What the user could do to have more pruned, in sentences.
    #[serde(default)]
    pub advice: Vec<String>,
}

/// A layer of the model as `inspect` and `GET /v1/models/{id}` show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LayerSummary {
    /// Name of the layer.
    pub layer: String,
    /// The operator, `conv2d`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Input and output channels of a layer with weights, else of its tensors.
    pub channels_in: Option<u64>,
    /// Output channels; see `channels_in`.
    pub channels_out: Option<u64>,
    /// Name of the coupled group whose channels it produces; `null` when it produces none.
    pub group: Option<String>,
    /// Multiply-accumulates of one sample.
    pub macs: u64,
    /// Elements of its parameters.
    pub params: u64,
    /// Why its output channels cannot be cut; `null` when they can.
    pub unprunable: Option<String>,
}

/// A coupled group: channels that must be cut together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GroupSummary {
    /// Its first layer's name.
    pub name: String,
    /// Channels of the group.
    pub channels: u64,
    /// Tensor axes that shrink with it, `layer1.0.conv1.weight:0`.
    pub tensors: Vec<String>,
    /// Why it is not pruned; `null` when it can be.
    pub unprunable: Option<String>,
}

/// One layer's width, before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LayerWidth {
    /// Name of the layer.
    pub layer: String,
    /// The operator, such as `conv2d`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The coupled group whose channels it produces.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub group: Option<String>,
    /// Output channels in the original.
    pub channels_before: u64,
    /// Output channels in the pruned network.
    pub channels_after: u64,
    /// Multiply-accumulates of one sample in the original.
    pub macs_before: u64,
    /// Multiply-accumulates of one sample in the pruned network.
    pub macs_after: u64,
}

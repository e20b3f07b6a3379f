//! One operator, one place: all that pruning knows of a family of ATen operators sits in one file.
//!
//! That is its channel rule, its cost, how its literals follow a cut, which dimension holds its channels, what kind of layer it is,
//! which statistics it records, and the tests of these. To add an operator, implement [`Operator`] in the file of its family (or a
//! new one) and list it in [`FAMILIES`]; no other file of this crate changes. The rules are those of Torch-Pruning's dependency
//! graph and of tract's axes mappings, restated for single elements. An operator that is not listed makes everything that it
//! touches unprunable, by name.

mod attention;
mod broadcast;
mod concat;
mod convolution;
mod creation;
mod elementwise;
mod expand;
mod gate;
mod layer_kind;
mod layout;
mod linear;
mod lookup;
mod normalization;
mod order;
mod pad;
mod pixel;
mod pooling;
mod product;
mod recurrent;
mod reduction;
mod regroup;
mod reshape;
mod slice;
mod softmax;
mod split;
mod squeeze;
mod transposed;
mod weight_norm;
mod write;

pub use layer_kind::LayerKind;
pub use layout::parameter_behind;
pub use lookup::{places_numbered_by, renumbered};
pub use recurrent::{RecurrentMatrices, layer_by_layer, recurrent_cell, recurrent_matrices};

use crate::axes::{Axes, Contraction, Remaining};
use crate::graph::{Graph, Node, Parameter, Size, ValueId};

/// A family of operators: everything that pruning needs to know of it.
pub trait Operator: Sync {
    /// The qualified names of the family, each without the underscore of its in-place variant.
    fn names(&self) -> &'static [&'static str];

    /// The channel rule: relates the dimensions of the tensors that a node reads, and sets those of its outputs.
    ///
    /// # Errors
    /// Why the rule does not apply, in words; everything that the node touches is then unprunable.
    fn axes(&self, node: &Node, graph: &Graph, axes: &mut Axes) -> Result<(), String>;

    /// The multiply-accumulates of one sample, as products to be added up; empty for operators that are not counted.
    fn macs(&self, _node: &Node, _graph: &Graph) -> Vec<Macs> {
        Vec::new()
    }

    /// Dimensions, by value and axis, that must keep at least one index although no weight says so.
    fn never_empty(&self, _node: &Node, _graph: &Graph) -> Vec<(ValueId, usize)> {
        Vec::new()
    }

    /// The tensor that the operator maps to its output, as opposed to weights, biases and numbers; `None` where there is no such
    /// tensor.
    fn input(&self, node: &Node) -> Option<ValueId> {
        named_input(node)
    }

    /// The kernel or matrix of the operator; `None` for operators that have none.
    fn weight(&self, node: &Node) -> Option<ValueId> {
        node.tensor("weight")
    }

    /// The dimension of the operator's input or output, which has this many, that holds the channels. `None` for operators to
    /// which all dimensions are alike, such as an addition; where their channels are is for the layers around them to say.
    fn channel_axis(&self, _node: &Node, _graph: &Graph, _rank: usize) -> Option<usize> {
        None
    }

    /// The kind of layer that the graph encoder of the search sees; `None` for operators that it does not see, such as
    /// activations.
    fn layer_kind(&self, _node: &Node) -> Option<LayerKind> {
        None
    }

    /// The vector that scales each channel of a batch norm, by which channels can be ranked; `None` for other operators.
    fn batch_norm_scale(&self, _node: &Node) -> Option<ValueId> {
        None
    }

    /// The running mean and variance that the operator records while it trains, which must be estimated anew after a cut; empty
    /// for operators that record none.
    fn running_statistics(&self, _node: &Node) -> Vec<ValueId> {
        Vec::new()
    }

    /// The dimensions of the input over which the operator averages: when one of them is cut, the results at the other indices
    /// change. Empty for operators that do not average.
    fn averaged_dims(&self, _node: &Node, _graph: &Graph) -> Vec<usize> {
        Vec::new()
    }

    /// For each dimension of the weight or bias of an operator that averages, the input dimension that it lines up with.
    fn weight_dims(&self, _node: &Node, _graph: &Graph) -> Vec<usize> {
        Vec::new()
    }

    /// Whether the result of an operator that averages has the dimensions of its input.
    fn keeps_shape(&self) -> bool {
        true
    }

    /// Rewrites the literals of a node that follow a channel count.
    fn rewrite(&self, _node: &mut Node, _shapes: &Shapes<'_>) {}
}

/// Multiply-accumulates as a product of sizes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Macs {
    /// The factor that no cut changes: positions and kernel sizes.
    pub coefficient: u64,
    /// The dimensions whose sizes multiply it, by value and axis.
    pub dims: Vec<(ValueId, usize)>,
}

/// The shapes of all values before and after the cut.
#[derive(Debug, Clone, Copy)]
pub struct Shapes<'a> {
    /// The graph before the cut.
    pub before: &'a Graph,
    /// For each value, its shape after the cut.
    pub after: &'a [Vec<Size>],
    /// Which indices remain.
    pub remaining: &'a Remaining<'a>,
}

impl Shapes<'_> {
    /// The shape of a value after the cut.
    pub fn after(&self, value: ValueId) -> &[Size] {
        &self.after[value.index()]
    }

    /// Whether a dimension has fewer indices after the cut.
    pub fn is_cut(&self, value: ValueId, dim: usize) -> bool {
        self.before.value(value).shape[dim] != self.after(value)[dim]
    }

    /// How many of the first `index` indices of a dimension remain.
    pub fn remaining_before(&self, value: ValueId, dim: usize, index: usize) -> usize {
        match self.remaining.indices(value, dim) {
            Some(indices) => indices.partition_point(|&kept| (kept as usize) < index),
            None => index,
        }
    }
}

/// Every family that has a rule.
const FAMILIES: &[&dyn Operator] = &[
    &convolution::Convolution,
    &transposed::TransposedConvolution,
    &linear::Linear,
    &linear::Addmm,
    &layout::Layout,
    &normalization::BatchNorm,
    &normalization::LayerNorm,
    &normalization::GroupNorm,
    &elementwise::Elementwise,
    &gate::Prelu,
    &gate::Glu,
    &broadcast::Broadcast,
    &concat::Concat,
    &concat::Stack,
    &split::Split,
    &split::Unbind,
    &slice::Slice,
    &slice::Select,
    &expand::Expand,
    &expand::Repeat,
    &expand::Interleave,
    &pad::Pad,
    &pooling::Pooling,
    &pooling::PoolingWithoutRule,
    &pooling::GridSample,
    &pixel::PixelShuffle,
    &pixel::Unfold,
    &pixel::ChannelShuffle,
    &reduction::Reduction,
    &order::Ordered,
    &lookup::Embedding,
    &lookup::EmbeddingBag,
    &lookup::Index,
    &lookup::IndexSelect,
    &creation::Filled,
    &creation::Numbered,
    &reshape::Reshape,
    &squeeze::Squeeze,
    &product::Product,
    &attention::Attention,
    &softmax::Softmax,
    &recurrent::Recurrent,
    &recurrent::Cell,
    &write::Scatter,
    &weight_norm::WeightNorm,
];

/// The operator family of a node; `None` when there is no rule for it.
pub fn of(node: &Node) -> Option<&'static dyn Operator> {
    let name = functional_name(&node.op);
    FAMILIES.iter().copied().find(|family| family.names().contains(&name))
}

/// The tensor that a node maps to its output; `None` where there is no such tensor.
pub fn input(node: &Node) -> Option<ValueId> {
    of(node).map_or_else(|| named_input(node), |operator| operator.input(node))
}

fn named_input(node: &Node) -> Option<ValueId> {
    node.tensor("input").or_else(|| node.tensor("self"))
}

/// The kernel or matrix of a node, when it is a parameter or the transposition of one.
pub fn weight<'a>(graph: &'a Graph, node: &Node) -> Option<&'a Parameter> {
    let weight = of(node).map_or_else(|| node.tensor("weight"), |operator| operator.weight(node))?;
    parameter_behind(graph, weight)
}

/// The running mean and variance that a node records while it trains; empty when it records none.
pub fn running_statistics(node: &Node) -> Vec<ValueId> {
    of(node).map_or_else(|| normalization::running_statistics(node), |operator| operator.running_statistics(node))
}

/// Whether a node goes along a sequence step by step: an LSTM, a GRU or a plain recurrent layer, whole or one step.
pub fn is_recurrent(node: &Node) -> bool {
    let name = functional_name(&node.op);
    [recurrent::Recurrent.names(), recurrent::Cell.names()].concat().contains(&name)
}

/// The name of an operator as a table shows it: `conv2d` for `aten::conv2d`, `relu` for `aten::relu_`.
pub fn short_name(op: &str) -> &str {
    op.strip_prefix("aten::").unwrap_or(op).trim_matches('_')
}

/// `aten::relu_` is `aten::relu` in place; dunder names are left alone.
pub(crate) fn functional_name(op: &str) -> &str {
    match op.strip_suffix('_') {
        Some(name) if !name.ends_with('_') => name,
        _ => op,
    }
}

/// The tensor argument, or words for the reason why the rule does not apply.
fn operand(node: &Node, name: &str) -> Result<ValueId, String> {
    node.tensor(name).ok_or_else(|| format!("{} has no tensor argument `{name}`", node.op))
}

/// Why an operator without a rule stops the analysis.
pub(crate) fn no_rule(node: &Node) -> String {
    format!("the operator {} has no channel rule", node.op)
}

/// The one output.
fn result(node: &Node) -> Result<ValueId, String> {
    match node.outputs[..] {
        [output] => Ok(output),
        _ => Err(format!("{} has {} outputs, one is expected", node.op, node.outputs.len())),
    }
}

/// A dimension argument, counted from the front.
fn dimension(dim: i64, rank: usize) -> Result<usize, String> {
    let from_front = if dim < 0 { dim + rank as i64 } else { dim };
    usize::try_from(from_front)
        .ok()
        .filter(|&dim| dim < rank)
        .ok_or_else(|| format!("dimension {dim} is outside a tensor of rank {rank}"))
}

/// What an operator takes apart (`self`), and along which dimension (`dim`).
fn place(node: &Node, graph: &Graph) -> Result<(ValueId, usize), String> {
    let input = operand(node, "self")?;
    let along = node.int("dim").ok_or("the dimension is not a constant")?;
    Ok((input, dimension(along, graph.value(input).shape.len())?))
}

/// Marks the columns of a weight, over which the node sums. Of a weight that is computed (standardised, or mixed of several) the
/// columns need not be zero where those of its parameters are.
fn sum_over_columns(node: &Node, graph: &Graph, axes: &mut Axes, weight: ValueId, axis: usize) {
    let columns = axes.dims(weight)[axis].clone();
    axes.contract(&columns);
    if graph.as_parameter(weight).is_none() {
        axes.sum_over(Contraction { result: node.outputs[0], operand: weight, axis });
    }
}

/// A size that is the same for every batch.
fn fixed_size(size: Size) -> Result<usize, String> {
    let size = size.as_fixed().ok_or("the dimension grows with the batch")?;
    usize::try_from(size).map_err(|_| format!("a dimension of {size} indices"))
}

/// Elements of these sizes for one sample.
fn per_sample(sizes: &[Size]) -> u64 {
    sizes.iter().map(|size| size.at_batch(1) as u64).product()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn names() -> impl Iterator<Item = &'static str> {
        FAMILIES.iter().flat_map(|family| family.names()).copied()
    }

    #[test]
    fn every_operator_with_a_rule_is_one_that_a_model_may_contain() {
        let list = include_str!("../archive/code/operators.txt");
        let families = list.lines().filter_map(|line| line.strip_prefix("aten ")?.split_once(" : "));
        let allowed: BTreeSet<&str> = families.flat_map(|(_, names)| names.split_whitespace()).collect();
        let is_allowed = |name: &str| allowed.iter().any(|allowed| functional_name(allowed) == name);
        let refused: Vec<&str> = names().filter(|name| !is_allowed(name.trim_start_matches("aten::"))).collect();
        assert!(refused.is_empty(), "not in core/src/archive/code/operators.txt: {refused:?}");
    }

    #[test]
    fn no_operator_has_two_rules() {
        let mut seen = BTreeSet::new();
        let twice: Vec<&str> = names().filter(|&name| !seen.insert(name)).collect();
        assert!(twice.is_empty(), "{twice:?}");
    }

    #[test]
    fn statistics_are_known_of_an_operator_without_a_rule_by_the_names_in_its_schema() {
        use crate::graph::{Argument, Literal};
        let arguments = [("running_mean", 1), ("running_var", 2)];
        let mut node = Node {
            name: "bn".to_owned(),
            op: "aten::_batch_norm_impl_index".to_owned(),
            overload: String::new(),
            args: arguments.map(|(name, value)| Argument::positional(name, Literal::Tensor(ValueId(value)))).into(),
            outputs: vec![ValueId(3)],
            list: false,
        };
        for op in ["aten::_batch_norm_impl_index", "aten::batch_norm", "aten::instance_norm"] {
            node.op = op.to_owned();
            assert_eq!(running_statistics(&node), [ValueId(1), ValueId(2)], "{op}");
        }
        node.set("running_var", Literal::None);
        assert!(running_statistics(&node).is_empty());
    }
}

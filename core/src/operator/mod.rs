//! One operator, one place: channel rule, cost, literal rewriting and test of a family of ATen operators sit in one file.
//!
//! To add an operator, implement [`Operator`] in the file of its family (or a new one) and list it in [`FAMILIES`]; no
//! other file changes. The rules are those of Torch-Pruning's dependency graph and of tract's axes mappings, restated
//! for single elements. An operator that is not listed makes everything that it touches unprunable, by name.

mod attention;
mod broadcast;
mod concat;
mod convolution;
mod creation;
mod elementwise;
mod expand;
mod gate;
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
mod statistics;
mod transposed;
mod weight_norm;
mod write;

pub use lookup::{places_numbered_by, renumbered};

use crate::graph::{Graph, Node, Size, ValueId};
use crate::group::{Axes, Contraction, Remaining};

/// Everything that pruning needs to know of a family of operators.
pub trait Operator: Sync {
    /// The names it answers to, qualified, without the underscore of the in-place variant.
    fn names(&self) -> &'static [&'static str];

    /// The channel rule: relates the dimensions of the operands and sets those of the outputs.
    ///
    /// # Errors
    /// Why the rule does not apply, in words; everything that the node touches then becomes unprunable.
    fn axes(&self, node: &Node, graph: &Graph, axes: &mut Axes) -> Result<(), String>;

    /// Multiply-accumulates of one sample, to be added up; none when they are not counted.
    fn macs(&self, _node: &Node, _graph: &Graph) -> Vec<Macs> {
        Vec::new()
    }

    /// Dimensions, by value and axis, of which at least one index must remain although no weight says so.
    fn never_empty(&self, _node: &Node, _graph: &Graph) -> Vec<(ValueId, usize)> {
        Vec::new()
    }

    /// What it averages over, if it does over anything.
    fn averaged(&self, node: &Node) -> Option<ValueId> {
        node.tensor("input")
    }

    /// The dimensions of that over which it averages, so that a cut of them changes what it computes for the others.
    fn statistics_over(&self, _node: &Node, _graph: &Graph) -> Vec<usize> {
        Vec::new()
    }

    /// Whether the result of such an operator has the dimensions of what it averages over.
    fn keeps_shape(&self) -> bool {
        true
    }

    /// For each dimension of the other tensors that such an operator reads, the dimension of the averaged one whose indices it has.
    fn weighted(&self, _node: &Node, _graph: &Graph) -> Vec<usize> {
        Vec::new()
    }

    /// Rewrites the literals that follow a channel count.
    fn rewrite(&self, _node: &mut Node, _shapes: &Shapes<'_>) {}
}

/// Multiply-accumulates as a product: `coefficient` times the sizes of these dimensions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Macs {
    pub coefficient: u64,
    pub dims: Vec<(ValueId, usize)>,
}

/// The shapes of all values before and after the cut.
#[derive(Debug, Clone, Copy)]
pub struct Shapes<'a> {
    pub before: &'a Graph,
    pub after: &'a [Vec<Size>],
    pub remaining: &'a Remaining<'a>,
}

impl Shapes<'_> {
    pub fn after(&self, value: ValueId) -> &[Size] {
        &self.after[value.index()]
    }

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

const FAMILIES: &[&dyn Operator] = &[
    &convolution::Convolution,
    &transposed::TransposedConvolution,
    &linear::Linear,
    &linear::Addmm,
    &layout::Layout,
    &normalization::BatchNorm,
    &statistics::LayerNorm,
    &statistics::GroupNorm,
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
    &pooling::GridSample,
    &pixel::PixelShuffle,
    &pixel::Unfold,
    &pixel::ChannelShuffle,
    &reduction::Reduction,
    &order::Ordered,
    &lookup::Embedding,
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

/// The operator family of a node.
pub fn of(node: &Node) -> Option<&'static dyn Operator> {
    let name = functional_name(&node.op);
    FAMILIES.iter().copied().find(|family| family.names().contains(&name))
}

/// `aten::relu_` is `aten::relu` in place; dunder names are left alone.
pub fn functional_name(op: &str) -> &str {
    match op.strip_suffix('_') {
        Some(name) if !name.ends_with('_') => name,
        _ => op,
    }
}

/// The tensor argument, or words for the reason why the rule does not apply.
fn operand(node: &Node, name: &str) -> Result<ValueId, String> {
    node.tensor(name).ok_or_else(|| format!("{} has no tensor argument `{name}`", node.op))
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

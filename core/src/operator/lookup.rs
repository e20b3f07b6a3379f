//! Rows chosen by number: `embedding`, and indexing with tensors. The rows stay, the other dimensions pass.

use super::{Operator, dimension, operand, result};
use crate::graph::{Graph, Literal, Node, ValueId};
use crate::group::{Axes, Dim, Reason};

/// `weight[indices]`, with `weight` of `[rows, width]`.
pub(super) struct Embedding;

impl Operator for Embedding {
    fn names(&self) -> &'static [&'static str] {
        &["aten::embedding"]
    }

    fn axes(&self, node: &Node, _graph: &Graph, axes: &mut Axes) -> Result<(), String> {
        let (weight, indices, output) = (operand(node, "weight")?, operand(node, "indices")?, result(node)?);
        let weight_dims = axes.dims(weight).to_vec();
        let mut dims = axes.dims(indices).to_vec();
        freeze_rows(node, &weight_dims[..1], axes);
        dims.extend_from_slice(&weight_dims[1..]);
        axes.set(output, dims);
        Ok(())
    }
}

/// `table[:, indices]`: one tensor of numbers, or several side by side.
pub(super) struct Index;

impl Operator for Index {
    fn names(&self) -> &'static [&'static str] {
        &["aten::index"]
    }

    fn axes(&self, node: &Node, graph: &Graph, axes: &mut Axes) -> Result<(), String> {
        let (input, output) = (operand(node, "self")?, result(node)?);
        let Some(Literal::Tensors(indices)) = node.arg("indices") else {
            return Err("the list of indices is not known".to_owned());
        };
        let first = indices.iter().position(Option::is_some).ok_or("there is no index")?;
        let numbers: Vec<ValueId> = indices[first..].iter().copied().map_while(|index| index).collect();
        let last = first + numbers.len();
        if indices[last..].iter().any(Option::is_some) {
            return Err("the indexed dimensions are not side by side".to_owned());
        }
        let dims = axes.dims(input).to_vec();
        let (before, after) = (&dims[..first], &dims[last..]);
        let places = graph.value(output).shape.len().checked_sub(before.len() + after.len());
        let places = places.ok_or("an index is a mask")?;
        freeze_rows(node, &dims[first..last], axes);
        for &index in &numbers {
            axes.freeze_value(index, Reason::NOT_A_CHANNEL);
        }
        let chosen = vec![Dim::Fixed(Reason::NOT_A_CHANNEL); places];
        axes.set(output, [before, &chosen, after].concat());
        Ok(())
    }
}

/// `index_select`: like [`Index`] of one dimension.
pub(super) struct IndexSelect;

impl Operator for IndexSelect {
    fn names(&self) -> &'static [&'static str] {
        &["aten::index_select"]
    }

    fn axes(&self, node: &Node, _graph: &Graph, axes: &mut Axes) -> Result<(), String> {
        let (input, index, output) = (operand(node, "self")?, operand(node, "index")?, result(node)?);
        let mut dims = axes.dims(input).to_vec();
        let along = dimension(node.int("dim").ok_or("the dimension is not a constant")?, dims.len())?;
        freeze_rows(node, &dims[along..=along], axes);
        axes.freeze_value(index, Reason::NOT_A_CHANNEL);
        dims[along] = Dim::Fixed(Reason::NOT_A_CHANNEL);
        axes.set(output, dims);
        Ok(())
    }
}

fn freeze_rows(node: &Node, dims: &[Dim], axes: &mut Axes) {
    let reason = axes.reason(format!("node `{}` ({}) chooses its indices by number", node.name, node.op));
    for dim in dims {
        axes.freeze(dim, reason);
    }
}

#[cfg(test)]
mod tests {
    use crate::graph::{Literal, Size};
    use crate::testing::Net;

    #[test]
    fn the_width_of_an_embedding_is_cut_and_its_rows_are_not() {
        let mut net = Net::new(&[5]);
        let indices = Literal::Tensor(net.here());
        let weight = net.weight("embed.weight", &[11, 6]);
        let shape = vec![Size::BATCH, Size::fixed(5), Size::fixed(6)];
        net.node("embed", "aten::embedding", &[("weight", weight), ("indices", indices)], shape).linear("fc", 4);
        assert_eq!(net.groups().len(), 1);
        assert_eq!(net.groups()[0].tensors(), ["embed.weight:1", "fc.weight:1"]);
        assert!(net.reasons("embed.weight", 0).contains("chooses its indices by number"));
    }

    #[test]
    fn channels_beside_an_indexed_dimension_pass() {
        let mut net = Net::new(&[3, 4, 4]);
        net.conv("a", 6, 3, 1);
        let index = net.weight("index", &[9]);
        let Literal::Tensor(index) = index else { unreachable!("a weight is a tensor") };
        let indices = Literal::Tensors(vec![None, None, Some(index)]);
        net.apply("aten::index", &[("indices", indices)], &[6, 9, 4]).conv("b", 4, 1, 1);
        assert_eq!(net.groups()[0].tensors(), ["a.weight:0", "a.bias:0", "b.weight:1"]);
    }
}

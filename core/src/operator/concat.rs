//! Concatenation: the elements of the parts, one after the other; and stacking, which makes a dimension of the parts.

use super::{LayerKind, Operator, dimension, fixed_size, result};
use crate::axes::{Axes, Dim, Reason};
use crate::graph::{Graph, Literal, Node};

/// Tensors one after the other along a dimension.
pub(super) struct Concat;

impl Operator for Concat {
    fn names(&self) -> &'static [&'static str] {
        &["aten::cat", "aten::concat", "aten::concatenate"]
    }

    fn axes(&self, node: &Node, graph: &Graph, axes: &mut Axes) -> Result<(), String> {
        let output = result(node)?;
        let Some(Literal::Tensors(parts)) = node.arg("tensors") else {
            return Err("the list of tensors is not known".to_owned());
        };
        let parts: Vec<_> = parts.iter().flatten().copied().collect();
        let rank = graph.value(output).shape.len();
        let along = dimension(node.int("dim").ok_or("the dimension is not a constant")?, rank)?;
        let Some((&first, rest)) = parts.split_first() else {
            return Err("the list of tensors is empty".to_owned());
        };
        let mut dims = axes.dims(first).to_vec();
        for &part in rest {
            for (dim, other) in axes.dims(part).to_vec().iter().enumerate() {
                if dim != along {
                    dims[dim] = axes.unify(&dims[dim], other)?;
                }
            }
        }
        if parts.iter().any(|&part| graph.value(part).shape[along].as_fixed().is_none()) {
            // Batches one after the other, as siamese networks read them.
            for &part in &parts {
                let dim = axes.dims(part)[along].clone();
                axes.freeze(&dim, Reason::NOT_A_CHANNEL);
            }
            dims[along] = Dim::Fixed(Reason::NOT_A_CHANNEL);
            axes.set(output, dims);
            return Ok(());
        }
        let mut elements = Vec::new();
        for &part in &parts {
            let size = fixed_size(graph.value(part).shape[along])?;
            let dim = axes.dims(part)[along].clone();
            elements.extend_from_slice(&axes.elements(&dim, size));
        }
        dims[along] = Dim::Channels(elements.into());
        axes.set(output, dims);
        Ok(())
    }

    fn layer_kind(&self, _node: &Node) -> Option<LayerKind> {
        Some(LayerKind::Concat)
    }
}

/// Parts of the same shape, side by side in a new dimension.
pub(super) struct Stack;

impl Operator for Stack {
    fn names(&self) -> &'static [&'static str] {
        &["aten::stack"]
    }

    fn axes(&self, node: &Node, graph: &Graph, axes: &mut Axes) -> Result<(), String> {
        let output = result(node)?;
        let along = node.int("dim").ok_or("the dimension is not a constant")?;
        let along = dimension(along, graph.value(output).shape.len())?;
        let parts = node.inputs();
        let (&first, rest) = parts.split_first().ok_or("the list of tensors is empty")?;
        let mut dims = axes.dims(first).to_vec();
        for &part in rest {
            for (dim, other) in axes.dims(part).to_vec().iter().enumerate() {
                dims[dim] = axes.unify(&dims[dim], other)?;
            }
        }
        dims.insert(along, Dim::Fixed(Reason::NOT_A_CHANNEL));
        axes.set(output, dims);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::graph::{Literal, Size};
    use crate::testing::{Net, int};

    #[test]
    fn concatenated_channels_stay_independent_and_keep_their_places() {
        let mut net = Net::new(&[3, 8, 8]);
        let input = net.here();
        net.conv("a", 4, 3, 1);
        let a = net.here();
        net.at(input).conv("b", 6, 3, 1).cat(a).conv("c", 5, 1, 1);
        let groups = net.groups();
        assert_eq!(groups.len(), 2);
        assert_eq!(groups[0].tensors(), ["a.weight:0", "a.bias:0", "c.weight:1"]);
        let cut = net.cut(&[vec![0, 3], vec![2]]);
        assert_eq!(cut.kept.0["c.weight"][&1], [0, 3, 4 + 2]);
    }

    #[test]
    fn a_cascade_of_concatenations_is_one_long_list() {
        let mut net = Net::new(&[3, 8, 8]);
        let input = net.here();
        net.conv("a", 4, 3, 1);
        let a = net.here();
        net.at(input).conv("b", 6, 3, 1).cat(a);
        let ab = net.here();
        net.at(input).conv("c", 2, 3, 1).cat(ab).conv("d", 5, 1, 1);
        let cut = net.cut(&[vec![0], vec![5], vec![1]]);
        assert_eq!(cut.kept.0["d.weight"][&1], [0, 4 + 5, 4 + 6 + 1]);
    }

    #[test]
    fn the_models_input_beside_channels_stays_whole() {
        let mut net = Net::new(&[3, 8, 8]);
        let input = net.here();
        net.conv("a", 4, 3, 1).cat(input).conv("b", 5, 1, 1);
        let cut = net.cut(&[vec![2]]);
        assert_eq!(cut.kept.0["b.weight"][&1], [0, 1, 2, 3 + 2]);
    }

    #[test]
    fn stacked_tensors_share_their_channels() {
        let mut net = Net::new(&[3, 8, 8]);
        let input = net.here();
        net.conv("a", 4, 3, 1);
        let a = net.here();
        net.at(input).conv("b", 4, 3, 1);
        let parts = Literal::Tensors(vec![Some(a), Some(net.here())]);
        let shape = [1, 2, 4, 8, 8].map(Size::fixed);
        net.node("", "aten::stack", &[("tensors", parts), ("dim", int(-4))], [&[Size::BATCH], &shape[1..]].concat());
        net.mean(&[1], false).conv("c", 5, 1, 1);
        assert_eq!(net.groups()[0].tensors(), ["a.weight:0", "a.bias:0", "b.weight:0", "b.bias:0", "c.weight:1"]);
    }

    #[test]
    fn positions_and_batches_that_are_concatenated_share_their_channels() {
        let rows = [Size::BATCH, Size::fixed(4), Size::fixed(16), Size::fixed(8)];
        let batches = [Size { per_sample: 2, fixed: 0 }, Size::fixed(4), Size::fixed(8), Size::fixed(8)];
        for (dim, shape) in [(2, rows), (0, batches)] {
            let mut net = Net::new(&[3, 8, 8]);
            let input = net.here();
            net.conv("a", 4, 3, 1);
            let a = net.here();
            net.at(input).conv("b", 4, 3, 1);
            let parts = Literal::Tensors(vec![Some(a), Some(net.here())]);
            net.node("", "aten::cat", &[("tensors", parts), ("dim", int(dim))], shape.to_vec()).conv("c", 5, 1, 1);
            let together = ["a.weight:0", "a.bias:0", "b.weight:0", "b.bias:0", "c.weight:1"];
            assert_eq!(net.groups()[0].tensors(), together, "along dimension {dim}");
        }
    }
}

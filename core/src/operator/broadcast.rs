//! Binary operators that broadcast: dimensions of equal size are unified, those of size one stay free.

use super::{Operator, operand, result};
use crate::graph::{Graph, Node, ValueId};
use crate::group::{Axes, Dim, Reason};

pub(super) struct Broadcast;

impl Operator for Broadcast {
    fn names(&self) -> &'static [&'static str] {
        &["aten::add", "aten::sub", "aten::mul", "aten::div", "aten::maximum", "aten::minimum"]
    }

    fn axes(&self, node: &Node, graph: &Graph, axes: &mut Axes) -> Result<(), String> {
        let (left, output) = (operand(node, "self")?, result(node)?);
        let Some(right) = node.tensor("other") else {
            let dims = axes.dims(left).to_vec();
            axes.set(output, dims);
            return Ok(());
        };
        let rank = graph.value(output).shape.len();
        let aligned = |axes: &Axes, value: ValueId| {
            let dims = axes.dims(value).to_vec();
            let shape = graph.value(value).shape.clone();
            let missing = rank - dims.len();
            move |dim: usize| dim.checked_sub(missing).map(|dim| (dims[dim].clone(), shape[dim]))
        };
        let (left, right) = (aligned(axes, left), aligned(axes, right));
        let mut dims = Vec::with_capacity(rank);
        for dim in 0..rank {
            dims.push(match (left(dim), right(dim)) {
                (Some((a, a_size)), Some((b, b_size))) if a_size == b_size => axes.unify(&a, &b)?,
                (Some((a, a_size)), Some((_, b_size))) if b_size.as_fixed() == Some(1) && a_size != b_size => a,
                (Some(_), Some((b, _))) => b,
                (Some((a, _)), None) => a,
                (None, Some((b, _))) => b,
                (None, None) => Dim::Fixed(Reason::NOT_A_CHANNEL),
            });
        }
        axes.set(output, dims);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Net;

    #[test]
    fn a_residual_addition_couples_all_layers_that_write_into_the_stream() {
        let mut net = Net::new(&[3, 8, 8]);
        net.conv("stem", 6, 3, 1);
        let stream = net.here();
        net.conv("block.a", 5, 3, 1).conv("block.b", 6, 3, 1).add(stream).conv("head", 4, 1, 1);
        let groups = net.groups();
        assert_eq!(groups.len(), 2);
        assert_eq!(
            groups[0].tensors(),
            ["stem.weight:0", "stem.bias:0", "block.a.weight:1", "block.b.weight:0", "block.b.bias:0", "head.weight:1"]
        );
        assert_eq!(groups[1].tensors(), ["block.a.weight:0", "block.a.bias:0", "block.b.weight:1"]);
    }

    #[test]
    fn a_mask_of_one_channel_does_not_couple_what_it_multiplies() {
        let mut net = Net::new(&[3, 8, 8]);
        let input = net.here();
        net.conv("mask", 1, 3, 1).unary("aten::sigmoid");
        let mask = net.here();
        net.at(input).conv("a", 6, 3, 1).mul(mask).conv("b", 4, 1, 1);
        let groups = net.groups();
        assert_eq!(groups.len(), 2, "the mask's own channel and the six channels stay apart");
        assert!(groups.iter().any(|group| group.tensors() == ["a.weight:0", "a.bias:0", "b.weight:1"]));
    }
}

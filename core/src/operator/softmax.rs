//! Softmax: the normalised dimension stays whole, because every entry changes with every other; the rest passes.

use super::{Operator, dimension, operand, result};
use crate::axes::{Axes, Cause};
use crate::graph::{Graph, Node};

pub(super) struct Softmax;

impl Operator for Softmax {
    fn names(&self) -> &'static [&'static str] {
        &["aten::softmax", "aten::log_softmax"]
    }

    fn axes(&self, node: &Node, _graph: &Graph, axes: &mut Axes) -> Result<(), String> {
        let (input, output) = (operand(node, "self")?, result(node)?);
        let dims = axes.dims(input).to_vec();
        let along = dimension(node.int("dim").ok_or("the dimension is not a constant")?, dims.len())?;
        let reason = axes.reason(Cause::by(node, "normalises over its channels"));
        axes.freeze(&dims[along], reason);
        axes.set(output, dims);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::graph::Literal;
    use crate::testing::{Net, int};

    #[test]
    fn a_softmax_over_channels_forbids_the_cut_and_one_beside_them_does_not() {
        for (dim, groups) in [(-1, 0), (1, 1)] {
            let mut net = Net::new(&[5, 3]);
            net.linear("a", 6);
            let (input, shape) = (Literal::Tensor(net.here()), net.graph().value(net.here()).shape.clone());
            net.node("", "aten::softmax", &[("self", input), ("dim", int(dim))], shape);
            net.linear("b", 4);
            assert_eq!(net.groups().len(), groups);
            assert_eq!(net.reasons("a.weight", 0).contains("normalises over its channels"), groups == 0);
        }
    }
}

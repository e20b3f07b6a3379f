//! Operators that map every element by itself: activations, dropout, casts, copies.

use super::{Operator, result};
use crate::graph::{Graph, Node};
use crate::group::Axes;

pub(super) struct Elementwise;

impl Operator for Elementwise {
    fn names(&self) -> &'static [&'static str] {
        &[
            "aten::relu",
            "aten::relu6",
            "aten::hardtanh",
            "aten::leaky_relu",
            "aten::elu",
            "aten::selu",
            "aten::celu",
            "aten::gelu",
            "aten::silu",
            "aten::mish",
            "aten::sigmoid",
            "aten::hardsigmoid",
            "aten::hardswish",
            "aten::tanh",
            "aten::softplus",
            "aten::clamp",
            "aten::clamp_min",
            "aten::clamp_max",
            "aten::abs",
            "aten::neg",
            "aten::exp",
            "aten::sqrt",
            "aten::square",
            "aten::dropout",
            "aten::feature_dropout",
            "aten::alpha_dropout",
            "aten::contiguous",
            "aten::clone",
            "aten::detach",
            "aten::to",
        ]
    }

    fn axes(&self, node: &Node, _graph: &Graph, axes: &mut Axes) -> Result<(), String> {
        let inputs = node.inputs();
        let [input] = inputs[..] else {
            return Err(format!("{} reads {} tensors, one is expected", node.op, inputs.len()));
        };
        let dims = axes.dims(input).to_vec();
        axes.set(result(node)?, dims);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Net;

    #[test]
    fn an_activation_in_place_or_not_hands_the_channels_on() {
        for op in ["aten::relu", "aten::relu_", "aten::hardtanh_", "aten::relu6"] {
            let mut net = Net::new(&[3, 8, 8]);
            net.conv("a", 6, 3, 1).unary(op).conv("b", 4, 1, 1);
            assert_eq!(net.groups()[0].tensors(), ["a.weight:0", "a.bias:0", "b.weight:1"], "{op}");
        }
    }
}

//! Operators that map every element by itself: activations, dropout, casts, copies, and tensors made like another.

use super::{Operator, result};
use crate::axes::Axes;
use crate::graph::{Graph, Node};

pub(super) struct Elementwise;

impl Operator for Elementwise {
    fn names(&self) -> &'static [&'static str] {
        &[
            // activations
            "aten::relu",
            "aten::relu6",
            "aten::hardtanh",
            "aten::leaky_relu",
            "aten::rrelu",
            "aten::elu",
            "aten::selu",
            "aten::celu",
            "aten::gelu",
            "aten::silu",
            "aten::mish",
            "aten::sigmoid",
            "aten::log_sigmoid",
            "aten::hardsigmoid",
            "aten::hardswish",
            "aten::hardshrink",
            "aten::softshrink",
            "aten::threshold",
            "aten::tanh",
            "aten::softplus",
            // functions of one number
            "aten::abs",
            "aten::absolute",
            "aten::neg",
            "aten::negative",
            "aten::exp",
            "aten::expm1",
            "aten::log",
            "aten::log1p",
            "aten::log2",
            "aten::log10",
            "aten::logit",
            "aten::sqrt",
            "aten::rsqrt",
            "aten::square",
            "aten::reciprocal",
            "aten::sign",
            "aten::floor",
            "aten::ceil",
            "aten::round",
            "aten::trunc",
            "aten::frac",
            "aten::sin",
            "aten::cos",
            "aten::tan",
            "aten::asin",
            "aten::acos",
            "aten::atan",
            "aten::sinh",
            "aten::cosh",
            "aten::erf",
            "aten::erfc",
            "aten::acosh",
            "aten::asinh",
            "aten::atanh",
            "aten::arcsin",
            "aten::arccos",
            "aten::arctan",
            "aten::arcsinh",
            "aten::arccosh",
            "aten::arctanh",
            "aten::exp2",
            "aten::fix",
            "aten::sgn",
            "aten::signbit",
            "aten::sinc",
            "aten::positive",
            "aten::erfinv",
            "aten::lgamma",
            "aten::digamma",
            "aten::i0",
            "aten::rad2deg",
            "aten::deg2rad",
            "aten::isneginf",
            "aten::isposinf",
            "aten::isreal",
            "aten::nan_to_num",
            "aten::isnan",
            "aten::isinf",
            "aten::isfinite",
            "aten::logical_not",
            "aten::bitwise_not",
            // dropout
            "aten::dropout",
            "aten::feature_dropout",
            "aten::alpha_dropout",
            "aten::feature_alpha_dropout",
            // casts and copies
            "aten::contiguous",
            "aten::clone",
            "aten::alias",
            "aten::detach",
            "aten::to",
            "aten::type_as",
            "aten::cpu",
            "aten::real",
            "aten::conj",
            "aten::resolve_conj",
            "aten::resolve_neg",
            // made like another
            "aten::zeros_like",
            "aten::ones_like",
            "aten::full_like",
            "aten::zero",
        ]
    }

    /// Of several tensors the first is mapped; the others lend their dtype (`type_as`).
    fn axes(&self, node: &Node, _graph: &Graph, axes: &mut Axes) -> Result<(), String> {
        let inputs = node.inputs();
        let Some(&input) = inputs.first() else {
            return Err(format!("{} reads no tensor", node.op));
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
        for op in ["aten::relu", "aten::relu_", "aten::hardtanh_", "aten::relu6", "aten::hardswish_", "aten::gelu"] {
            let mut net = Net::new(&[3, 8, 8]);
            net.conv("a", 6, 3, 1).unary(op).conv("b", 4, 1, 1);
            assert_eq!(net.groups()[0].tensors(), ["a.weight:0", "a.bias:0", "b.weight:1"], "{op}");
        }
    }
}

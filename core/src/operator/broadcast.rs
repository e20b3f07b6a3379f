//! Operators on several tensors that broadcast: dimensions of equal size are unified, those of size one stay free.

use super::{LayerKind, Operator, functional_name, result};
use crate::axes::{Axes, Dim, Reason};
use crate::graph::{Graph, Node, ValueId};

/// Arithmetic, comparisons and choices, index by index.
pub(super) struct Broadcast;

impl Operator for Broadcast {
    fn names(&self) -> &'static [&'static str] {
        &[
            "aten::add",
            "aten::sub",
            "aten::subtract",
            "aten::rsub",
            "aten::mul",
            "aten::multiply",
            "aten::div",
            "aten::divide",
            "aten::true_divide",
            "aten::floor_divide",
            "aten::fmod",
            "aten::remainder",
            "aten::pow",
            "aten::maximum",
            "aten::minimum",
            "aten::atan2",
            "aten::hypot",
            "aten::copysign",
            "aten::xlogy",
            "aten::lerp",
            "aten::addcmul",
            "aten::addcdiv",
            "aten::where",
            "aten::masked_fill",
            "aten::clamp",
            "aten::clamp_min",
            "aten::clamp_max",
            "aten::clip",
            "aten::eq",
            "aten::ne",
            "aten::lt",
            "aten::le",
            "aten::gt",
            "aten::ge",
            "aten::not_equal",
            "aten::less",
            "aten::less_equal",
            "aten::greater",
            "aten::greater_equal",
            "aten::logical_and",
            "aten::logical_or",
            "aten::logical_xor",
            "aten::bitwise_and",
            "aten::bitwise_or",
            "aten::bitwise_xor",
            "aten::__and__",
            "aten::__or__",
            "aten::__xor__",
            "aten::arctan2",
            "aten::logaddexp",
            "aten::logaddexp2",
            "aten::fmax",
            "aten::fmin",
            "aten::heaviside",
            "aten::nextafter",
            "aten::float_power",
            "aten::lcm",
            "aten::igamma",
            "aten::igammac",
            "aten::bitwise_left_shift",
            "aten::bitwise_right_shift",
            "aten::fill",
            "aten::copy",
        ]
    }

    fn axes(&self, node: &Node, graph: &Graph, axes: &mut Axes) -> Result<(), String> {
        unify_aligned(node, graph, axes)
    }

    fn layer_kind(&self, node: &Node) -> Option<LayerKind> {
        (functional_name(&node.op) == "aten::add").then_some(LayerKind::Add)
    }
}

/// Unifies the dimensions of all operands as broadcasting aligns them, from the last one.
pub(super) fn unify_aligned(node: &Node, graph: &Graph, axes: &mut Axes) -> Result<(), String> {
    let output = result(node)?;
    let shape = graph.value(output).shape.clone();
    let operands = node.inputs();
    let mut dims = Vec::with_capacity(shape.len());
    for (place, &size) in shape.iter().enumerate() {
        let mut common: Option<Dim> = None;
        for &operand in &operands {
            let Some(dim) = aligned(graph, operand, place, shape.len()) else { continue };
            if graph.value(operand).shape[dim] != size {
                continue;
            }
            let dim = axes.dims(operand)[dim].clone();
            common = Some(match common {
                None => dim,
                Some(common) => axes.unify(&common, &dim)?,
            });
        }
        dims.push(common.unwrap_or(Dim::Fixed(Reason::NOT_A_CHANNEL)));
    }
    axes.set(output, dims);
    Ok(())
}

/// The dimension of an operand that broadcasting puts at `place` of an output of this rank.
fn aligned(graph: &Graph, operand: ValueId, place: usize, rank: usize) -> Option<usize> {
    let missing = rank.checked_sub(graph.value(operand).shape.len())?;
    place.checked_sub(missing)
}

#[cfg(test)]
mod tests {
    use crate::graph::Literal;
    use crate::testing::{Net, int};

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

    #[test]
    fn a_scale_for_every_channel_is_cut_with_them() {
        let mut net = Net::new(&[3, 8, 8]);
        net.conv("a", 6, 3, 1);
        let scale = net.weight("gamma", &[6, 1, 1]);
        net.apply("aten::mul", &[("other", scale)], &[6, 8, 8]).conv("b", 4, 1, 1);
        assert_eq!(net.groups().len(), 1);
        assert_eq!(net.groups()[0].tensors(), ["a.weight:0", "a.bias:0", "gamma:0", "b.weight:1"]);
    }

    #[test]
    fn all_operands_of_a_choice_are_coupled_and_numbers_are_not() {
        let mut net = Net::new(&[3, 8, 8]);
        let input = net.here();
        net.conv("a", 6, 3, 1);
        let a = net.here();
        net.at(input).conv("b", 6, 3, 1);
        let b = net.here();
        net.apply("aten::gt", &[("other", int(0))], &[6, 8, 8]);
        let condition = Literal::Tensor(net.here());
        let args = [("condition", condition), ("self", Literal::Tensor(a)), ("other", Literal::Tensor(b))];
        let shape = net.graph().value(a).shape.clone();
        net.node("", "aten::where", &args, shape).conv("c", 4, 1, 1);
        assert_eq!(net.groups().len(), 1);
        assert_eq!(net.groups()[0].tensors(), ["a.weight:0", "a.bias:0", "b.weight:0", "b.bias:0", "c.weight:1"]);
    }
}

//! Reductions over dimensions; over spatial ones they are a pooling. Over channels, averages, sums, norms and extremes are taken
//! over what remains, as those of a layer norm are ([`super::normalization`]); the others forbid the cut.

use super::{LayerKind, Operator, broadcast, dimension, operand};
use crate::axes::{Axes, Cause, Dim, Reason};
use crate::graph::{Graph, Literal, Node};

pub(super) struct Reduction;

impl Operator for Reduction {
    fn names(&self) -> &'static [&'static str] {
        &[
            "aten::mean",
            "aten::sum",
            "aten::prod",
            "aten::amax",
            "aten::amin",
            "aten::max",
            "aten::min",
            "aten::median",
            "aten::argmax",
            "aten::argmin",
            "aten::var",
            "aten::std",
            "aten::var_mean",
            "aten::std_mean",
            "aten::norm",
            "aten::frobenius_norm",
            "aten::linalg_vector_norm",
            "aten::logsumexp",
            "aten::any",
            "aten::all",
            "aten::count_nonzero",
        ]
    }

    fn axes(&self, node: &Node, graph: &Graph, axes: &mut Axes) -> Result<(), String> {
        if node.tensor("other").is_some() {
            // `max` and `min` of two tensors share their names with the reductions.
            return broadcast::unify_aligned(node, graph, axes);
        }
        let input = operand(node, "self")?;
        let dims = axes.dims(input).to_vec();
        let reduced = reduced(node, dims.len())?;
        let keep = node.bool("keepdim").unwrap_or(false);
        let reason = axes.reason(Cause::by(node, "reduces over its channels"));
        let over_what_remains = is_for_any_width(node, graph, &reduced);
        let mut kept = Vec::new();
        for (index, dim) in dims.iter().enumerate() {
            if !reduced.contains(&index) {
                kept.push(dim.clone());
                continue;
            }
            if !over_what_remains {
                axes.freeze(dim, reason);
            }
            if keep {
                kept.push(Dim::Fixed(Reason::NOT_A_CHANNEL));
            }
        }
        for &output in &node.outputs {
            axes.set(output, kept.clone());
        }
        Ok(())
    }

    fn layer_kind(&self, node: &Node) -> Option<LayerKind> {
        (super::functional_name(&node.op) == "aten::mean").then_some(LayerKind::Pooling)
    }

    fn averaged_dims(&self, node: &Node, graph: &Graph) -> Vec<usize> {
        if node.tensor("other").is_some() {
            return Vec::new();
        }
        let rank = node.tensor("self").map_or(0, |input| graph.value(input).shape.len());
        reduced(node, rank).unwrap_or_default()
    }

    fn keeps_shape(&self) -> bool {
        false
    }
}

/// The dimensions that are reduced; without a list, all of them.
fn reduced(node: &Node, rank: usize) -> Result<Vec<usize>, String> {
    match node.arg("dim") {
        Some(Literal::Ints(list)) if !list.is_empty() => {
            list.iter().map(|dim| dimension(dim.fixed, rank)).collect::<Result<_, _>>()
        }
        Some(Literal::Int(dim)) => Ok(vec![dimension(dim.fixed, rank)?]),
        _ => Ok((0..rank).collect()),
    }
}

/// Whether the result means the same of fewer channels, as that of a normalisation written by hand does: averages, sums, norms and
/// extremes. It does not where indices come out and are read, or where a single channel has no value.
fn is_for_any_width(node: &Node, graph: &Graph, reduced: &[usize]) -> bool {
    let of_sample = node
        .tensor("self")
        .is_some_and(|input| reduced.iter().all(|&dim| graph.value(input).shape[dim].as_fixed().is_some()));
    of_sample
        && match super::functional_name(&node.op) {
            "aten::mean" | "aten::sum" | "aten::amax" | "aten::amin" | "aten::logsumexp" => true,
            "aten::norm" | "aten::frobenius_norm" | "aten::linalg_vector_norm" => true,
            "aten::max" | "aten::min" => node.outputs[1..].iter().all(|&indices| !graph.is_read(indices)),
            "aten::var" | "aten::std" | "aten::var_mean" | "aten::std_mean" => is_biased(node),
            _ => false,
        }
}

/// A variance that is divided by the number of elements and not by one less.
fn is_biased(node: &Node) -> bool {
    match node.arg("correction") {
        Some(Literal::Int(correction)) => correction.fixed == 0,
        Some(Literal::Float(correction)) => *correction == 0.0,
        _ => node.bool("unbiased") == Some(false),
    }
}

#[cfg(test)]
mod tests {
    use crate::graph::Literal;
    use crate::surgery::Constant;
    use crate::testing::{Net, int, ints};

    #[test]
    fn a_mean_over_space_is_a_pooling() {
        let mut net = Net::new(&[3, 8, 8]);
        net.conv("a", 6, 3, 1).mean(&[2, 3], false).linear("fc", 4);
        assert_eq!(net.groups()[0].tensors(), ["a.weight:0", "a.bias:0", "fc.weight:1"]);
    }

    /// `a` in six channels, reduced to one by `op`, times `a`, read by `b`.
    fn reduced(op: &str, args: &[(&str, Literal)]) -> Net {
        let mut net = Net::new(&[3, 8, 8]);
        net.conv("a", 6, 3, 1);
        let a = net.here();
        let args = [&[("dim", ints(&[1])), ("keepdim", Literal::Bool(true))], args].concat();
        net.apply(op, &args, &[1, 8, 8]);
        let reduced = net.here();
        net.at(a).mul(reduced).conv("b", 4, 1, 1);
        net
    }

    #[test]
    fn a_norm_by_hand_averages_over_what_remains() {
        for op in ["aten::mean", "aten::linalg_vector_norm", "aten::amax"] {
            let net = reduced(op, &[]);
            assert_eq!(net.groups()[0].tensors(), ["a.weight:0", "a.bias:0", "b.weight:1"], "{op}");
            let reference = net.cut(&[vec![0, 2, 5]]).reference.unwrap();
            assert_eq!(reference.constants, [Constant::Indices(vec![0, 2, 5])]);
            let ops: Vec<&str> = reference.graph.nodes().iter().map(|node| node.op.as_str()).collect();
            assert_eq!(ops, ["aten::conv2d", "aten::index_select", op, "aten::mul", "aten::conv2d"]);
        }
    }

    #[test]
    fn a_variance_of_a_single_channel_must_be_defined() {
        assert_eq!(reduced("aten::var", &[("correction", int(0))]).groups().len(), 1);
        let net = reduced("aten::var", &[("correction", int(1))]);
        assert!(net.groups().is_empty());
        assert!(net.reasons("a.weight", 0).contains("reduces over its channels"));
    }

    #[test]
    fn a_product_over_channels_forbids_the_cut_and_says_where() {
        let net = reduced("aten::prod", &[]);
        assert!(net.groups().is_empty());
        assert!(net.reasons("a.weight", 0).contains("reduces over its channels"));
    }

    #[test]
    fn the_place_of_the_largest_channel_must_not_change() {
        for is_read in [false, true] {
            let mut net = Net::new(&[3, 8, 8]);
            net.conv("a", 6, 3, 1);
            let a = net.here();
            let args = [("dim", int(1)), ("keepdim", Literal::Bool(true))];
            let [values, indices] = net.apply_list("aten::max", &args, &[&[1, 8, 8], &[1, 8, 8]])[..] else { panic!() };
            net.at(a).mul(if is_read { indices } else { values }).conv("b", 4, 1, 1);
            assert_eq!(net.groups().is_empty(), is_read);
        }
    }

    #[test]
    fn the_larger_of_two_tensors_couples_them() {
        let mut net = Net::new(&[3, 8, 8]);
        let input = net.here();
        net.conv("a", 6, 3, 1);
        let a = net.here();
        net.at(input).conv("b", 6, 3, 1).binary("aten::max", a).conv("c", 4, 1, 1);
        assert_eq!(net.groups()[0].tensors(), ["a.weight:0", "a.bias:0", "b.weight:0", "b.bias:0", "c.weight:1"]);
    }
}

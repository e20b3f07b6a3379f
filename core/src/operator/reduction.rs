//! Reductions over dimensions; over spatial ones they are a pooling, over channels they forbid the cut.

use super::{Operator, broadcast, dimension, operand};
use crate::graph::{Graph, Literal, Node};
use crate::group::{Axes, Dim};

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
        let reduced: Vec<usize> = match node.arg("dim") {
            Some(Literal::Ints(list)) if !list.is_empty() => {
                list.iter().map(|dim| dimension(dim.fixed, dims.len())).collect::<Result<_, _>>()?
            }
            Some(Literal::Int(dim)) => vec![dimension(dim.fixed, dims.len())?],
            _ => (0..dims.len()).collect(),
        };
        let keep = node.bool("keepdim").unwrap_or(false);
        let reason = axes.reason(format!("node `{}` ({}) reduces over it", node.name, node.op));
        let mut kept = Vec::new();
        for (index, dim) in dims.iter().enumerate() {
            if !reduced.contains(&index) {
                kept.push(dim.clone());
                continue;
            }
            axes.freeze(dim, reason);
            if keep {
                kept.push(Dim::Fixed(reason));
            }
        }
        for &output in &node.outputs {
            axes.set(output, kept.clone());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Net;

    #[test]
    fn a_mean_over_space_is_a_pooling() {
        let mut net = Net::new(&[3, 8, 8]);
        net.conv("a", 6, 3, 1).mean(&[2, 3], false).linear("fc", 4);
        assert_eq!(net.groups()[0].tensors(), ["a.weight:0", "a.bias:0", "fc.weight:1"]);
    }

    #[test]
    fn a_mean_over_channels_forbids_the_cut_and_says_where() {
        let mut net = Net::new(&[3, 8, 8]);
        net.conv("a", 6, 3, 1).mean(&[1], true).conv("b", 4, 1, 1);
        assert!(net.groups().is_empty());
        let reasons = net.reasons("a.weight", 0);
        assert!(reasons.contains("reduces over it"), "{reasons}");
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

//! Operators for which the places of a dimension's indices mean something: they forbid the cut of that one, and pass the rest.

use super::{Operator, dimension, operand};
use crate::axes::{Axes, Cause, Dim};
use crate::graph::{Graph, Literal, Node};

pub(super) struct Ordered;

impl Operator for Ordered {
    fn names(&self) -> &'static [&'static str] {
        &[
            "aten::cumsum",
            "aten::cumprod",
            "aten::sort",
            "aten::argsort",
            "aten::topk",
            "aten::roll",
            "aten::flip",
            "aten::unfold",
        ]
    }

    fn axes(&self, node: &Node, graph: &Graph, axes: &mut Axes) -> Result<(), String> {
        let input = operand(node, "self")?;
        let mut dims = axes.dims(input).to_vec();
        let along: Vec<usize> = match ["dim", "dims", "dimension"].iter().find_map(|name| node.arg(name)) {
            Some(Literal::Int(dim)) => vec![dimension(dim.fixed, dims.len())?],
            Some(Literal::Ints(list)) if !list.is_empty() => {
                list.iter().map(|dim| dimension(dim.fixed, dims.len())).collect::<Result<_, _>>()?
            }
            _ => (0..dims.len()).collect(),
        };
        let reason = axes.reason(Cause::by(node, "needs the order of its channels"));
        for dim in along {
            axes.freeze(&dims[dim], reason);
            dims[dim] = Dim::Fixed(reason);
        }
        for &output in &node.outputs {
            // `unfold` appends the windows as a dimension.
            let mut dims = dims.clone();
            dims.resize(graph.value(output).shape.len(), Dim::Fixed(reason));
            axes.set(output, dims);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Net, int, ints};

    #[test]
    fn a_running_sum_over_channels_forbids_the_cut_and_over_positions_does_not() {
        for (dim, groups) in [(1, 0), (-1, 1)] {
            let mut net = Net::new(&[3, 4, 4]);
            net.conv("a", 6, 3, 1).apply("aten::cumsum", &[("dim", int(dim))], &[6, 4, 4]).conv("b", 4, 1, 1);
            assert_eq!(net.groups().len(), groups);
            assert_eq!(net.reasons("a.weight", 0).contains("needs the order of its channels"), groups == 0);
        }
    }

    #[test]
    fn windows_that_are_rolled_keep_their_channels_free() {
        let mut net = Net::new(&[3, 4, 4]);
        let args = [("shifts", ints(&[1, 1])), ("dims", ints(&[2, 3]))];
        net.conv("a", 6, 3, 1).apply("aten::roll", &args, &[6, 4, 4]).conv("b", 4, 1, 1);
        assert_eq!(net.groups()[0].tensors(), ["a.weight:0", "a.bias:0", "b.weight:1"]);
    }
}

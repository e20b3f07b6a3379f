//! `squeeze`: dimensions of one index go. A cut one becomes `squeeze` of named dimensions, since a channel dimension that
//! is cut down to one must stay.

use super::{Operator, Shapes, dimension, operand, result};
use crate::axes::{Axes, Cause, Reason};
use crate::graph::{Argument, Graph, Literal, Node, Size};

pub(super) struct Squeeze;

impl Operator for Squeeze {
    fn names(&self) -> &'static [&'static str] {
        &["aten::squeeze"]
    }

    fn axes(&self, node: &Node, graph: &Graph, axes: &mut Axes) -> Result<(), String> {
        let (input, output) = (operand(node, "self")?, result(node)?);
        let gone = squeezed(node, &graph.value(input).shape)?;
        let mut kept = Vec::new();
        for (axis, dim) in axes.dims(input).to_vec().into_iter().enumerate() {
            if gone.contains(&axis) {
                axes.freeze(&dim, Reason::NOT_A_CHANNEL);
                continue;
            }
            if gone.is_empty() {
                // There is no way to write that none may go.
                let reason =
                    axes.reason(Cause::by(node, "would drop the dimension of its channels if a single one were left"));
                axes.freeze(&dim, reason);
            }
            kept.push(dim);
        }
        axes.set(output, kept);
        Ok(())
    }

    fn rewrite(&self, node: &mut Node, shapes: &Shapes<'_>) {
        let Some(input) = node.tensor("self") else { return };
        let Ok(before) = squeezed(node, &shapes.before.value(input).shape) else { return };
        if squeezed(node, shapes.after(input)).is_ok_and(|after| after == before) {
            return;
        }
        let dims = before.into_iter().map(|axis| Size::fixed(axis as i64)).collect();
        "dims".clone_into(&mut node.overload);
        node.args = vec![
            Argument::positional("self", Literal::Tensor(input)),
            Argument::positional("dim", Literal::Ints(dims)),
        ];
    }
}

/// The dimensions that go from a tensor of this shape.
fn squeezed(node: &Node, shape: &[Size]) -> Result<Vec<usize>, String> {
    let named = match (node.int("dim"), node.ints("dim")) {
        (Some(dim), _) => Some(vec![dimension(dim, shape.len())?]),
        (None, Some(dims)) => {
            let dims: Result<_, _> = dims.iter().map(|dim| dimension(dim.fixed, shape.len())).collect();
            Some(dims?)
        }
        (None, None) => None,
    };
    let is_gone =
        |axis: &usize| shape[*axis] == Size::fixed(1) && named.as_ref().is_none_or(|dims| dims.contains(axis));
    Ok((0..shape.len()).filter(is_gone).collect())
}

#[cfg(test)]
mod tests {
    use crate::graph::Size;
    use crate::testing::{Net, int, ints};

    #[test]
    fn a_channel_dimension_that_is_cut_to_one_stays() {
        let mut net = Net::new(&[3, 1, 1]);
        net.conv("a", 6, 1, 1).apply("aten::squeeze", &[], &[6]).linear("fc", 4);
        let two = net.cut(&[vec![2, 4]]);
        assert_eq!(two.graph.nodes()[1].ints("dim"), None, "nothing is rewritten without need");
        let one = net.cut(&[vec![2]]);
        assert_eq!(one.graph.nodes()[1].ints("dim"), Some(&[Size::fixed(2), Size::fixed(3)][..]));
        assert_eq!(one.kept.0["fc.weight"][&1], [2]);
    }

    #[test]
    fn a_named_dimension_goes_and_the_others_keep_their_channels() {
        for dim in [int(-1), ints(&[3])] {
            let mut net = Net::new(&[3, 4, 1]);
            net.conv("a", 6, 1, 1).apply("aten::squeeze", &[("dim", dim)], &[6, 4]).unary("aten::relu");
            net.apply("aten::unsqueeze", &[("dim", int(3))], &[6, 4, 1]).conv("b", 2, 1, 1);
            assert_eq!(net.groups()[0].channels(), 6);
            net.cut(&[vec![3]]);
        }
    }

    #[test]
    fn a_squeeze_of_a_dimension_that_has_more_than_one_index_leaves_it_whole() {
        let mut net = Net::new(&[3, 4, 4]);
        net.conv("a", 6, 1, 1).apply("aten::squeeze", &[("dim", int(1))], &[6, 4, 4]).conv("b", 2, 1, 1);
        assert!(net.groups().is_empty());
    }
}

//! Dimensions change places: `permute`, `transpose`, `t`, `.T`, `.mT`, `movedim` and their other names.

use super::{Operator, dimension, operand, result};
use crate::axes::Axes;
use crate::graph::{Graph, Literal, Node, Parameter, Producer, ValueId};

/// `permute` and its kin.
pub(super) struct Layout;

impl Operator for Layout {
    fn names(&self) -> &'static [&'static str] {
        &[
            "aten::permute",
            "aten::transpose",
            "aten::swapaxes",
            "aten::swapdims",
            "aten::movedim",
            "aten::moveaxis",
            "aten::t",
            "aten::numpy_T",
            "aten::mT",
            // Of real numbers, which are all that a model may contain.
            "aten::mH",
            "aten::matrix_H",
            "aten::adjoint",
        ]
    }

    fn axes(&self, node: &Node, _graph: &Graph, axes: &mut Axes) -> Result<(), String> {
        let (input, output) = (operand(node, "self")?, result(node)?);
        let dims = axes.dims(input).to_vec();
        let dims = order(node, dims.len())?.into_iter().map(|dim| dims[dim].clone()).collect();
        axes.set(output, dims);
        Ok(())
    }
}

/// The parameter that a value is, or is the transposition of (`t`, as traced linear layers write it, or `.T`).
pub fn parameter_behind(graph: &Graph, value: ValueId) -> Option<&Parameter> {
    match graph.producer(value) {
        Producer::Parameter(index) => Some(&graph.parameters()[index]),
        Producer::Input(_) => None,
        Producer::Node { node, .. } => {
            let node = &graph.nodes()[node];
            let is_transposition = matches!(node.op.as_str(), "aten::t" | "aten::numpy_T");
            is_transposition.then(|| parameter_behind(graph, node.tensor("self")?)).flatten()
        }
    }
}

/// For each output dimension, the input dimension that it is.
fn order(node: &Node, rank: usize) -> Result<Vec<usize>, String> {
    if let Some(dims) = numbers(node, &["dims"], rank)? {
        return Ok(dims);
    }
    let (from, to) = (numbers(node, &["source"], rank)?, numbers(node, &["destination"], rank)?);
    if let (Some(from), Some(to)) = (from, to) {
        let mut rest = (0..rank).filter(|dim| !from.contains(dim));
        let at = |place: usize| to.iter().position(|&wanted| wanted == place).map(|index| from[index]);
        return (0..rank)
            .map(|place| at(place).or_else(|| rest.next()).ok_or_else(|| "a dimension is moved twice".to_owned()))
            .collect();
    }
    let mut order: Vec<usize> = (0..rank).collect();
    match (numbers(node, &["dim0", "axis0"], rank)?, numbers(node, &["dim1", "axis1"], rank)?) {
        (Some(one), Some(other)) => order.swap(one[0], other[0]),
        _ => match node.op.as_str() {
            "aten::mT" | "aten::mH" | "aten::matrix_H" | "aten::adjoint" if rank >= 2 => order.swap(rank - 2, rank - 1),
            // `.T` reverses all dimensions; `t()` takes at most a matrix.
            _ => order.reverse(),
        },
    }
    Ok(order)
}

/// Dimensions from the front, of the first argument that the node has.
fn numbers(node: &Node, names: &[&str], rank: usize) -> Result<Option<Vec<usize>>, String> {
    let dims = names.iter().find_map(|name| node.arg(name));
    match dims {
        Some(Literal::Int(dim)) => Ok(Some(vec![dimension(dim.fixed, rank)?])),
        Some(Literal::Ints(dims)) => {
            dims.iter().map(|dim| dimension(dim.fixed, rank)).collect::<Result<_, _>>().map(Some)
        }
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use crate::graph::Literal;
    use crate::testing::{Net, int, ints};

    /// Channels go last through `op` and come back through `op_back`; in between a linear layer reads them.
    fn assert_channels_follow(op: &str, there: &[(&str, Literal)], back: &[(&str, Literal)], last: bool) {
        let mut net = Net::new(&[3, 4, 5]);
        net.conv("a", 6, 3, 1);
        if last {
            net.apply(op, there, &[4, 5, 6]).linear("fc", 7).relu().apply(op, back, &[7, 4, 5]);
        } else {
            net.apply(op, there, &[6, 5, 4]).apply(op, back, &[6, 4, 5]);
        }
        net.conv("b", 2, 1, 1);
        let groups: Vec<Vec<String>> = net.groups().iter().map(|group| group.tensors()).collect();
        if last {
            assert_eq!(groups[0], ["a.weight:0", "a.bias:0", "fc.weight:1"], "{op}");
            assert_eq!(groups[1], ["fc.weight:0", "fc.bias:0", "b.weight:1"], "{op}");
        } else {
            assert_eq!(groups, [["a.weight:0", "a.bias:0", "b.weight:1"]], "{op}");
        }
    }

    #[test]
    fn channels_move_with_their_dimension() {
        assert_channels_follow(
            "aten::permute",
            &[("dims", ints(&[0, 2, 3, 1]))],
            &[("dims", ints(&[0, -1, 1, 2]))],
            true,
        );
        for op in ["aten::movedim", "aten::moveaxis"] {
            let move_dim = |from, to| [("source", int(from)), ("destination", int(to))];
            assert_channels_follow(op, &move_dim(1, -1), &move_dim(3, 1), true);
            let move_dims = |from: &[i64], to: &[i64]| [("source", ints(from)), ("destination", ints(to))];
            assert_channels_follow(op, &move_dims(&[1, 2], &[3, 1]), &move_dims(&[3, 1], &[1, 2]), true);
        }
    }

    #[test]
    fn swapped_spatial_dimensions_leave_the_channels_alone() {
        for (op, one, other) in [
            ("aten::transpose", "dim0", "dim1"),
            ("aten::swapdims", "dim0", "dim1"),
            ("aten::swapaxes", "axis0", "axis1"),
        ] {
            assert_channels_follow(op, &[(one, int(2)), (other, int(-1))], &[(one, int(3)), (other, int(2))], false);
        }
    }

    #[test]
    fn a_transposition_without_arguments_reverses_all_dimensions_or_the_last_two() {
        let mut net = Net::new(&[3, 4, 5]);
        net.conv("a", 6, 3, 1).apply("aten::mT", &[], &[6, 5, 4]).conv("b", 2, 1, 1);
        assert_eq!(net.groups()[0].tensors(), ["a.weight:0", "a.bias:0", "b.weight:1"]);

        let mut net = Net::new(&[3, 4, 5]);
        net.conv("a", 6, 3, 1)
            .apply("aten::flatten", &[("start_dim", int(2)), ("end_dim", int(-1))], &[6, 20])
            .apply("aten::adjoint", &[], &[20, 6])
            .linear("fc", 7);
        assert_eq!(net.groups()[0].tensors(), ["a.weight:0", "a.bias:0", "fc.weight:1"]);
    }
}

//! `_weight_norm`: a weight as a direction and a length for each index of one dimension (Salimans and Kingma, arXiv 1602.07868).
//!
//! The lengths are cut with their indices. A cut of another dimension changes what the direction is divided by.

use super::{Operator, dimension, operand, result};
use crate::axes::Axes;
use crate::graph::{Graph, Node, ValueId};

pub(super) struct WeightNorm;

impl WeightNorm {
    /// The dimension that has lengths; `None` when there is a single one for the whole.
    fn dim(node: &Node, rank: usize) -> Result<Option<usize>, String> {
        match node.int("dim").unwrap_or(0) {
            -1 => Ok(None),
            dim => dimension(dim, rank).map(Some),
        }
    }
}

impl Operator for WeightNorm {
    fn names(&self) -> &'static [&'static str] {
        &["aten::_weight_norm"]
    }

    fn axes(&self, node: &Node, graph: &Graph, axes: &mut Axes) -> Result<(), String> {
        let (direction, length, output) = (operand(node, "v")?, operand(node, "g")?, result(node)?);
        let mut dims = axes.dims(direction).to_vec();
        if let Some(dim) = Self::dim(node, graph.value(direction).shape.len())? {
            let of_length = axes.dims(length).get(dim).cloned().ok_or("there is no length for each index")?;
            dims[dim] = axes.unify(&dims[dim], &of_length)?;
        }
        axes.set(output, dims);
        Ok(())
    }

    fn input(&self, node: &Node) -> Option<ValueId> {
        node.tensor("v")
    }

    fn averaged_dims(&self, node: &Node, graph: &Graph) -> Vec<usize> {
        let Some(direction) = node.tensor("v") else { return Vec::new() };
        let rank = graph.value(direction).shape.len();
        let own = Self::dim(node, rank).ok().flatten();
        (0..rank).filter(|&dim| Some(dim) != own).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::graph::{Literal, Size};
    use crate::surgery::Constant;
    use crate::testing::{Net, int};

    /// Two convolutions, `[6, 3, 1, 1]` and `[4, 6, 1, 1]`, the second's weight with a length for each index of `dim`.
    fn normalised(dim: i64, length: &[i64]) -> Net {
        let mut net = Net::new(&[3, 8, 8]);
        net.conv("a", 6, 3, 1);
        let a = Literal::Tensor(net.here());
        let (v, g) = (net.weight("b.v", &[4, 6, 1, 1]), net.weight("b.g", length));
        let args = [("v", v), ("g", g), ("dim", int(dim))];
        net.node("b.weight", "aten::_weight_norm", &args, [4, 6, 1, 1].map(Size::fixed).to_vec());
        let args = [("input", a), ("weight", Literal::Tensor(net.here())), ("groups", int(1))];
        let shape = [Size::BATCH, Size::fixed(4), Size::fixed(8), Size::fixed(8)];
        net.node("b", "aten::conv2d", &args, shape.to_vec()).conv("c", 2, 1, 1);
        net
    }

    #[test]
    fn lengths_go_with_their_filters() {
        let net = normalised(0, &[4, 1, 1, 1]);
        let tensors: Vec<Vec<String>> = net.groups().iter().map(|group| group.tensors()).collect();
        assert_eq!(tensors, [vec!["a.weight:0", "a.bias:0", "b.v:1"], vec!["b.v:0", "b.g:0", "c.weight:1"]]);
        let cut = net.cut(&[(0..6).collect(), vec![0, 3]]);
        assert_eq!(cut.kept.0["b.g"][&0], [0, 3]);
        assert!(cut.reference.is_none(), "every filter is divided by its own length");
    }

    #[test]
    fn a_direction_that_lost_columns_is_divided_by_what_is_left_of_it() {
        let cut = normalised(0, &[4, 1, 1, 1]).cut(&[vec![1, 2, 5], (0..4).collect()]);
        let reference = cut.reference.unwrap();
        assert!(reference.constants.contains(&Constant::Indices(vec![1, 2, 5])), "{:?}", reference.constants);
    }

    #[test]
    fn a_single_length_is_of_all_that_is_left() {
        let cut = normalised(-1, &[]).cut(&[(0..6).collect(), vec![0, 3]]);
        assert!(!cut.kept.0.contains_key("b.g"));
        let reference = cut.reference.unwrap();
        assert!(reference.constants.contains(&Constant::Indices(vec![0, 3])), "{:?}", reference.constants);
    }
}

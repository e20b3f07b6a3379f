//! Normalisations whose mean and variance go over channels: `layer_norm`, `rms_norm`, `group_norm`.
//!
//! A cut changes their statistics, and with them what the network computes. The oracle accounts for that: its
//! reference computes each of them over the remaining indices only (see [`crate::surgery::Reference`]).
//! A `group_norm` that loses whole groups keeps the statistics of the others.

use super::{Operator, Shapes, operand, result};
use crate::graph::{Graph, Literal, Node, Size, ValueId};
use crate::group::Axes;

/// `layer_norm` and `rms_norm`: over the last dimensions, as many as `normalized_shape` lists.
pub(super) struct LayerNorm;

impl Operator for LayerNorm {
    fn names(&self) -> &'static [&'static str] {
        &["aten::layer_norm", "aten::rms_norm"]
    }

    fn axes(&self, node: &Node, graph: &Graph, axes: &mut Axes) -> Result<(), String> {
        let (input, output) = (operand(node, "input")?, result(node)?);
        let mut dims = axes.dims(input).to_vec();
        let normalized = self.statistics_over(node, graph);
        for name in ["weight", "bias"] {
            let Some(tensor) = node.tensor(name) else { continue };
            for (&dim, weight_dim) in normalized.iter().zip(axes.dims(tensor).to_vec()) {
                dims[dim] = axes.unify(&dims[dim], &weight_dim)?;
            }
        }
        axes.set(output, dims);
        Ok(())
    }

    fn statistics_over(&self, node: &Node, graph: &Graph) -> Vec<usize> {
        let (Some(input), Some(shape)) = (node.tensor("input"), node.ints("normalized_shape")) else {
            return Vec::new();
        };
        let rank = graph.value(input).shape.len();
        (rank.saturating_sub(shape.len())..rank).collect()
    }

    fn weighted(&self, node: &Node, graph: &Graph) -> Vec<usize> {
        self.statistics_over(node, graph)
    }

    fn rewrite(&self, node: &mut Node, shapes: &Shapes<'_>) {
        let after = shapes.after(node.outputs[0]);
        let normalized = self.statistics_over(node, shapes.before).into_iter().map(|dim| after[dim]).collect();
        node.set("normalized_shape", Literal::Ints(normalized));
    }
}

/// Which channels of a `group_norm` go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coupling {
    /// All channels of a group; the statistics of the others stay.
    WholeGroups,
    /// The same place in every group, so that the groups stay equally wide.
    Places,
}

/// `group_norm`; of the two ways to cut it the one with more choices is taken.
pub(super) struct GroupNorm;

impl GroupNorm {
    /// Input, channels in a group, and what goes together.
    fn layout(node: &Node, graph: &Graph) -> Result<(ValueId, usize, Coupling), String> {
        let input = operand(node, "input")?;
        let groups = node.int("num_groups").ok_or("the number of groups is not a constant")? as usize;
        let channels = graph.value(input).shape.get(1).and_then(|size| size.as_fixed());
        let per_group = channels.ok_or("group_norm reads a tensor without a channel dimension")? as usize / groups;
        let coupling = if groups >= per_group { Coupling::WholeGroups } else { Coupling::Places };
        Ok((input, per_group, coupling))
    }
}

impl Operator for GroupNorm {
    fn names(&self) -> &'static [&'static str] {
        &["aten::group_norm"]
    }

    fn axes(&self, node: &Node, graph: &Graph, axes: &mut Axes) -> Result<(), String> {
        let (input, per_group, coupling) = Self::layout(node, graph)?;
        let output = result(node)?;
        let mut dims = axes.dims(input).to_vec();
        for name in ["weight", "bias"] {
            if let Some(tensor) = node.tensor(name) {
                let dim = axes.dims(tensor)[0].clone();
                dims[1] = axes.unify(&dims[1], &dim)?;
            }
        }
        let channels = graph.value(input).shape[1].fixed as usize;
        let elements = axes.elements(&dims[1], channels);
        for (index, &element) in elements.iter().enumerate() {
            let representative = match coupling {
                Coupling::WholeGroups => index - index % per_group,
                Coupling::Places => index % per_group,
            };
            axes.unify_elements(elements[representative], element);
        }
        if coupling == Coupling::WholeGroups {
            let reason = axes.reason(format!("node `{}` ({}) normalises over it", node.name, node.op));
            dims[2..].iter().for_each(|dim| axes.freeze(dim, reason));
        }
        axes.set(output, dims);
        Ok(())
    }

    fn statistics_over(&self, node: &Node, graph: &Graph) -> Vec<usize> {
        match Self::layout(node, graph) {
            Ok((input, _, Coupling::Places)) => (1..graph.value(input).shape.len()).collect(),
            Ok((_, _, Coupling::WholeGroups)) | Err(_) => Vec::new(),
        }
    }

    fn weighted(&self, _node: &Node, _graph: &Graph) -> Vec<usize> {
        vec![1]
    }

    fn rewrite(&self, node: &mut Node, shapes: &Shapes<'_>) {
        if let Ok((input, per_group, Coupling::WholeGroups)) = Self::layout(node, shapes.before) {
            let groups = shapes.after(input)[1].fixed / per_group as i64;
            node.set("num_groups", Literal::Int(Size::fixed(groups)));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::graph::{Literal, Size};
    use crate::testing::{Net, int, ints};

    #[test]
    fn the_shape_of_a_layer_norm_follows_its_width() {
        let mut net = Net::new(&[5, 12]);
        net.linear("a", 6).layer_norm("norm").linear("b", 4);
        assert_eq!(net.groups()[0].tensors(), ["a.weight:0", "a.bias:0", "norm.weight:0", "norm.bias:0", "b.weight:1"]);
        let cut = net.cut(&[vec![0, 2, 5]]);
        assert_eq!(cut.graph.nodes()[1].ints("normalized_shape"), Some(&[Size::fixed(3)][..]));
    }

    #[test]
    fn a_layer_norm_over_positions_as_well_keeps_those() {
        let mut net = Net::new(&[3, 4, 4]);
        net.conv("a", 6, 3, 1);
        let weight = net.weight("norm.weight", &[6, 4, 4]);
        let input = Literal::Tensor(net.here());
        let args = [("input", input), ("normalized_shape", ints(&[6, 4, 4])), ("weight", weight)];
        let shape = net.graph().value(net.here()).shape.clone();
        net.node("norm", "aten::layer_norm", &args, shape).conv("b", 2, 1, 1);
        assert_eq!(net.groups()[0].tensors(), ["a.weight:0", "a.bias:0", "norm.weight:0", "b.weight:1"]);
        let cut = net.cut(&[vec![1, 3]]);
        assert_eq!(cut.graph.nodes()[1].ints("normalized_shape").unwrap(), [2, 4, 4].map(Size::fixed));
    }

    fn group_norm(channels: i64, groups: i64) -> Net {
        let mut net = Net::new(&[3, 4, 4]);
        net.conv("a", channels, 3, 1);
        let (weight, bias) = (net.weight("norm.weight", &[channels]), net.weight("norm.bias", &[channels]));
        let input = Literal::Tensor(net.here());
        let args = [("input", input), ("num_groups", int(groups)), ("weight", weight), ("bias", bias)];
        let shape = net.graph().value(net.here()).shape.clone();
        net.node("norm", "aten::group_norm", &args, shape).conv("b", 2, 1, 1);
        net
    }

    #[test]
    fn a_group_norm_of_many_groups_loses_whole_ones() {
        let cut = group_norm(8, 4).cut(&[vec![0, 3]]);
        assert_eq!(cut.kept.0["norm.weight"][&0], [0, 1, 6, 7]);
        assert_eq!(cut.graph.nodes()[1].int("num_groups"), Some(2));
    }

    #[test]
    fn a_group_norm_of_few_groups_loses_the_same_places_of_each() {
        let cut = group_norm(8, 2).cut(&[vec![0, 3]]);
        assert_eq!(cut.kept.0["norm.weight"][&0], [0, 3, 4, 7]);
        assert_eq!(cut.graph.nodes()[1].int("num_groups"), Some(2));
    }
}

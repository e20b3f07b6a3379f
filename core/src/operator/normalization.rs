//! Normalisations of activations: each channel for itself (`batch_norm`, `instance_norm`), and over channels (`layer_norm`,
//! `rms_norm`, `group_norm`).
//!
//! With running statistics a batch norm averages over nothing. Without, it does over all that is not a channel, and that can be
//! cut where the tensor is no image: standardised weights are a `batch_norm` of a weight `[1, out, in · kernel]`.
//!
//! A cut of channels that a normalisation averages over changes its mean and variance, and with them what the network computes.
//! The oracle accounts for that: its reference computes each of them over the remaining indices only (see
//! [`crate::surgery::Reference`]). A `group_norm` that loses whole groups keeps the statistics of the others.

use super::{LayerKind, Operator, Shapes, functional_name, operand, result};
use crate::axes::{Axes, Cause};
use crate::graph::{Graph, Literal, Node, Size, ValueId};

/// `batch_norm` and `instance_norm`: every channel for itself.
pub(super) struct BatchNorm;

impl Operator for BatchNorm {
    fn names(&self) -> &'static [&'static str] {
        &["aten::batch_norm", "aten::instance_norm"]
    }

    fn axes(&self, node: &Node, _graph: &Graph, axes: &mut Axes) -> Result<(), String> {
        let (input, output) = (operand(node, "input")?, result(node)?);
        let dims = axes.dims(input).to_vec();
        let channels = dims.get(1).ok_or_else(|| format!("{} reads a tensor without a channel dimension", node.op))?;
        for name in ["weight", "bias", "running_mean", "running_var"] {
            if let Some(tensor) = node.tensor(name) {
                let dim = axes.dims(tensor)[0].clone();
                axes.unify(channels, &dim)?;
            }
        }
        axes.set(output, dims);
        Ok(())
    }

    fn averaged_dims(&self, node: &Node, graph: &Graph) -> Vec<usize> {
        let Some(input) = node.tensor("input") else { return Vec::new() };
        let rank = graph.value(input).shape.len();
        let per_sample = node.arg("use_input_stats").is_some();
        let flag = if per_sample { "use_input_stats" } else { "training" };
        if node.tensor("running_mean").is_some() && node.bool(flag) == Some(false) {
            return Vec::new();
        }
        (0..rank).filter(|&dim| dim > 1 || (dim == 0 && !per_sample)).collect()
    }

    fn weight_dims(&self, _node: &Node, _graph: &Graph) -> Vec<usize> {
        vec![1]
    }

    fn channel_axis(&self, _node: &Node, _graph: &Graph, rank: usize) -> Option<usize> {
        (rank > 1).then_some(1)
    }

    fn layer_kind(&self, node: &Node) -> Option<LayerKind> {
        is_batch_norm(node).then_some(LayerKind::BatchNorm)
    }

    fn batch_norm_scale(&self, node: &Node) -> Option<ValueId> {
        node.tensor("weight").filter(|_| is_batch_norm(node))
    }

    fn running_statistics(&self, node: &Node) -> Vec<ValueId> {
        running_statistics(node)
    }
}

/// The running mean and variance by their names in the schema, which operators without a rule have too.
pub(super) fn running_statistics(node: &Node) -> Vec<ValueId> {
    let both = node.tensor("running_mean").zip(node.tensor("running_var"));
    both.map(|(mean, variance)| vec![mean, variance]).unwrap_or_default()
}

/// `instance_norm` takes its statistics from each sample.
fn is_batch_norm(node: &Node) -> bool {
    functional_name(&node.op) == "aten::batch_norm"
}

/// `layer_norm` and `rms_norm`: over the last dimensions, as many as `normalized_shape` lists.
pub(super) struct LayerNorm;

impl Operator for LayerNorm {
    fn names(&self) -> &'static [&'static str] {
        &["aten::layer_norm", "aten::rms_norm"]
    }

    fn axes(&self, node: &Node, graph: &Graph, axes: &mut Axes) -> Result<(), String> {
        let (input, output) = (operand(node, "input")?, result(node)?);
        let mut dims = axes.dims(input).to_vec();
        let normalized = self.averaged_dims(node, graph);
        for name in ["weight", "bias"] {
            let Some(tensor) = node.tensor(name) else { continue };
            for (&dim, weight_dim) in normalized.iter().zip(axes.dims(tensor).to_vec()) {
                dims[dim] = axes.unify(&dims[dim], &weight_dim)?;
            }
        }
        axes.set(output, dims);
        Ok(())
    }

    fn averaged_dims(&self, node: &Node, graph: &Graph) -> Vec<usize> {
        let (Some(input), Some(shape)) = (node.tensor("input"), node.ints("normalized_shape")) else {
            return Vec::new();
        };
        let rank = graph.value(input).shape.len();
        (rank.saturating_sub(shape.len())..rank).collect()
    }

    fn weight_dims(&self, node: &Node, graph: &Graph) -> Vec<usize> {
        self.averaged_dims(node, graph)
    }

    fn channel_axis(&self, _node: &Node, _graph: &Graph, rank: usize) -> Option<usize> {
        rank.checked_sub(1)
    }

    fn rewrite(&self, node: &mut Node, shapes: &Shapes<'_>) {
        let after = shapes.after(node.outputs[0]);
        let normalized = self.averaged_dims(node, shapes.before).into_iter().map(|dim| after[dim]).collect();
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
            let reason = axes.reason(Cause::by(node, "normalises over its channels"));
            dims[2..].iter().for_each(|dim| axes.freeze(dim, reason));
        }
        axes.set(output, dims);
        Ok(())
    }

    fn averaged_dims(&self, node: &Node, graph: &Graph) -> Vec<usize> {
        match Self::layout(node, graph) {
            Ok((input, _, Coupling::Places)) => (1..graph.value(input).shape.len()).collect(),
            Ok((_, _, Coupling::WholeGroups)) | Err(_) => Vec::new(),
        }
    }

    fn weight_dims(&self, _node: &Node, _graph: &Graph) -> Vec<usize> {
        vec![1]
    }

    fn channel_axis(&self, _node: &Node, _graph: &Graph, rank: usize) -> Option<usize> {
        (rank > 1).then_some(1)
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
    use crate::surgery::Constant;
    use crate::testing::{Net, int, ints};

    #[test]
    fn batch_norm_shrinks_with_its_input() {
        let mut net = Net::new(&[3, 8, 8]);
        net.conv("a", 6, 3, 1).batch_norm("bn").conv("b", 4, 1, 1);
        assert_eq!(
            net.groups()[0].tensors(),
            [
                "a.weight:0",
                "a.bias:0",
                "bn.weight:0",
                "bn.bias:0",
                "bn.running_mean:0",
                "bn.running_var:0",
                "b.weight:1"
            ]
        );
    }
    /// Two convolutions with `[6, 3, 3, 3]` and `[4, 6, 3, 3]`, the second's weight standardised by a gain for each filter.
    fn standardised() -> Net {
        let mut net = Net::new(&[3, 8, 8]);
        net.conv("a", 6, 3, 1);
        let a = net.here();
        let weight = net.weight("b.weight", &[4, 6, 3, 3]);
        let Literal::Tensor(parameter) = weight else { unreachable!("a weight is a tensor") };
        let gain = net.weight("b.gain", &[4]);
        net.at(parameter).view(&[1, 4, 54].map(Size::fixed));
        let none = || Literal::None;
        let args = [
            ("input", Literal::Tensor(net.here())),
            ("weight", gain),
            ("bias", none()),
            ("running_mean", none()),
            ("running_var", none()),
            ("training", Literal::Bool(true)),
        ];
        net.node("", "aten::batch_norm", &args, [1, 4, 54].map(Size::fixed).to_vec());
        let flat = [("self", Literal::Tensor(net.here())), ("other", weight)];
        net.node("", "aten::reshape_as", &flat, [4, 6, 3, 3].map(Size::fixed).to_vec());
        let args = [
            ("input", Literal::Tensor(a)),
            ("weight", Literal::Tensor(net.here())),
            ("groups", crate::testing::int(1)),
        ];
        net.node("b", "aten::conv2d", &args, [&[Size::BATCH][..], &[4, 8, 8].map(Size::fixed)].concat());
        net.conv("c", 2, 1, 1);
        net
    }

    #[test]
    fn a_standardised_weight_is_cut_like_a_plain_one() {
        let net = standardised();
        let groups: Vec<Vec<String>> = net.groups().iter().map(|group| group.tensors()).collect();
        assert_eq!(
            groups,
            [vec!["a.weight:0", "a.bias:0", "b.weight:1"], vec!["b.weight:0", "b.gain:0", "c.weight:1"]]
        );
        let cut = net.cut(&[vec![0, 4], vec![1, 2, 3]]);
        assert_eq!(cut.graph.nodes()[1].ints("size"), Some(&[1, 3, 18].map(Size::fixed)[..]));
        assert_eq!(cut.graph.nodes()[3].op, "aten::reshape_as", "the weight is cut as the result is");
        assert_eq!(net.costs().macs, 64 * 9 * (3 * 6 + 6 * 4) + 64 * 4 * 2);
    }

    #[test]
    fn the_reference_standardises_over_the_remaining_columns() {
        let reference = standardised().cut(&[vec![0, 4], vec![1, 2, 3]]).reference.unwrap();
        let indices: Vec<i64> = (0..9).chain(36..45).collect();
        assert_eq!(reference.constants[0], Constant::Indices(indices), "of the input's columns only, not of the gain");
        let mask = Constant::Mask { shape: vec![6, 1, 1], indices: vec![1, 2, 3, 5] };
        assert_eq!(reference.constants.last(), Some(&mask), "what is computed of zeros need not be zero");
        assert_eq!(reference.constants.len(), 3, "a selection, the return to the old places, the mask");
    }

    #[test]
    fn a_normalisation_with_running_statistics_averages_over_nothing() {
        let mut net = Net::new(&[5, 12]);
        net.linear("a", 6);
        let input = Literal::Tensor(net.here());
        let [mean, var] = ["mean", "var"].map(|name| net.weight(name, &[5]));
        let args = [("input", input), ("running_mean", mean), ("running_var", var), ("training", Literal::Bool(false))];
        let shape = net.graph().value(net.here()).shape.clone();
        net.node("norm", "aten::batch_norm", &args, shape).linear("b", 4);
        assert_eq!(net.groups()[0].tensors(), ["a.weight:0", "a.bias:0", "b.weight:1"]);
        assert!(net.cut(&[vec![1, 2]]).reference.is_none());
    }

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

//! Which dimension of a tensor holds the channels.
//!
//! A convolution, a linear layer and a normalisation say it of their input and output ([`Operator::channel_axis`]). To an addition
//! all dimensions are alike: a scale of images has its channels in dimension 1, a position embedding of tokens in the last. There
//! it is the dimension whose channels most of the layers around have for theirs, which the analysis knows, because it
//! follows channels through everything that moves them.
//!
//! [`Operator::channel_axis`]: crate::operator::Operator::channel_axis

use std::collections::{BTreeSet, HashMap};

use crate::axes::{Axes, Dim, Element};
use crate::graph::{Graph, Node, ValueId};
use crate::operator;

/// The channel dimensions of the tensors of a graph.
#[derive(Debug)]
pub struct ChannelAxes<'a> {
    graph: &'a Graph,
    axes: &'a Axes,
    /// For each atom, how many nodes have it among the channels of their input or output.
    layers: HashMap<Element, usize>,
}

impl<'a> ChannelAxes<'a> {
    /// Counts the layers that say where their channels are.
    pub fn of(graph: &'a Graph, axes: &'a Axes) -> Self {
        let mut channel_axes = Self { graph, axes, layers: HashMap::new() };
        for node in graph.nodes() {
            let tensors = operator::input(node).into_iter().chain(node.outputs.first().copied());
            let dims = tensors.filter_map(|value| Some((value, channel_axes.own(node, value)?)));
            let atoms: BTreeSet<Element> = dims.flat_map(|(value, axis)| channel_axes.atoms(value, axis)).collect();
            for atom in atoms {
                *channel_axes.layers.entry(atom).or_default() += 1;
            }
        }
        channel_axes
    }

    /// The dimension of a node's input or output that holds its channels; `None` for a single number. Where nothing says which
    /// it is, it is the one after the batch.
    pub fn at(&self, node: &Node, value: ValueId) -> Option<usize> {
        let rank = self.graph.value(value).shape.len();
        let own = self.own(node, value).or_else(|| {
            let layers = |axis| self.atoms(value, axis).iter().filter_map(|atom| self.layers.get(atom)).max();
            let counted = (0..rank).rev().filter_map(|axis| Some((axis, layers(axis)?)));
            counted.max_by_key(|&(_, layers)| layers).map(|(axis, _)| axis)
        });
        own.or_else(|| Some(1.min(rank.checked_sub(1)?)))
    }

    /// What the node's operator itself says.
    fn own(&self, node: &Node, value: ValueId) -> Option<usize> {
        let rank = self.graph.value(value).shape.len();
        operator::of(node)?.channel_axis(node, self.graph, rank).filter(|&axis| axis < rank)
    }

    fn atoms(&self, value: ValueId, axis: usize) -> Vec<Element> {
        match self.axes.dims(value).get(axis) {
            Some(Dim::Channels(elements)) => elements.iter().flat_map(|&element| self.axes.atoms(element)).collect(),
            Some(Dim::Fixed(_)) | None => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::Grouping;
    use crate::testing::Net;

    /// The channel dimension of the one addition of a network.
    fn of_addition(net: &Net) -> Option<usize> {
        let graph = net.graph();
        let grouping = Grouping::of(&graph);
        let node = graph.nodes().iter().find(|node| node.op == "aten::add").unwrap();
        ChannelAxes::of(&graph, grouping.axes()).at(node, node.outputs[0])
    }

    #[test]
    fn an_addition_has_its_channels_where_the_layers_around_have_theirs() {
        let mut images = Net::new(&[3, 4, 5]);
        images.conv("a", 6, 3, 1);
        let stream = images.here();
        images.conv("b", 6, 3, 1).add(stream).conv("c", 2, 1, 1);
        assert_eq!(of_addition(&images), Some(1));

        let mut tokens = Net::new(&[5, 12]);
        tokens.linear("a", 6);
        let stream = tokens.here();
        tokens.linear("b", 6).add(stream).linear("c", 2);
        assert_eq!(of_addition(&tokens), Some(2));
    }

    #[test]
    fn channels_that_nothing_may_cut_are_known_too() {
        let mut net = Net::new(&[5, 12]);
        let position = net.weight("position", &[1, 5, 12]);
        net.apply("aten::add", &[("other", position)], &[5, 12]).linear("a", 6).relu().linear("b", 2);
        assert_eq!(of_addition(&net), Some(2), "the features of the input, which `a` reads");
    }

    #[test]
    fn of_dimensions_that_are_both_read_by_layers_that_of_most_layers_counts() {
        let mut net = Net::new(&[5, 12]);
        net.linear("embed", 6).transpose(1, 2).linear("tokens", 7).transpose(1, 2);
        let stream = net.here();
        net.layer_norm("norm").linear("features", 6).add(stream).linear("head", 2);
        assert_eq!(of_addition(&net), Some(2), "`tokens` alone is about dimension 1");
    }

    #[test]
    fn without_a_layer_it_is_the_dimension_after_the_batch() {
        let mut net = Net::new(&[5, 12]);
        let input = net.here();
        net.relu().add(input);
        assert_eq!(of_addition(&net), Some(1));
    }
}

//! The layer DAG: what the encoder of SACP sees of a network.
//!
//! The graph of ATen calls is contracted to layers (convolution, batch norm, pooling, linear, add, concat); an edge says that
//! data flow from one layer to the next without another layer between. A layer's feature vector has one entry per
//! output channel, in canonical order: inside a group by falling importance, so that a pruned group keeps a prefix and
//! index j means the same rank in every layer (see `search::score`, which lives from this). A merged dimension (heads × head
//! dimensions) has one entry per head and one per head dimension, so that its parts keep prefixes too.

use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;
use serde::{Deserialize, Serialize};

use crate::axes::Dim;
use crate::graph::{Graph, Node, Producer, ValueId};
use crate::group::{ChannelAxes, Grouping};
use crate::operator::{self, LayerKind};

/// Channels of one group inside a layer's feature vector: `multiplicity` entries per channel from `offset` on, by rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Index of the group.
    pub group: usize,
    /// Entries per channel.
    pub multiplicity: usize,
    /// Index of the first entry.
    pub offset: usize,
}

/// One node of the layer DAG.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// Name of the layer.
    pub name: String,
    /// The kind of its operator.
    pub kind: LayerKind,
    /// The groups among its channels.
    pub segments: Vec<Segment>,
    /// Entries of channels that are never cut: always one.
    pub fixed: std::ops::Range<usize>,
}

impl Layer {
    /// Length of its feature vector.
    pub fn channels(&self) -> usize {
        self.fixed.end
    }
}

/// The layers of a network and the data flow between them.
#[derive(Debug, Clone)]
pub struct LayerGraph {
    dag: DiGraph<Layer, ()>,
}

impl LayerGraph {
    /// Contracts a graph.
    pub fn of(graph: &Graph, grouping: &Grouping) -> Self {
        let mut dag = DiGraph::new();
        let channel_axes = ChannelAxes::of(graph, grouping.axes());
        // For each value, the layers whose data it carries.
        let mut carried: Vec<Vec<NodeIndex>> = vec![Vec::new(); graph.values().len()];
        for node in graph.nodes() {
            let mut sources: Vec<NodeIndex> =
                node.inputs().iter().flat_map(|input| carried[input.index()].iter().copied()).collect();
            sources.sort_unstable();
            sources.dedup();
            let layer = operator::of(node)
                .and_then(|operator| operator.layer_kind(node))
                .filter(|kind| !is_scalar_add(graph, node, *kind));
            let carries = match layer {
                None => sources,
                Some(kind) => {
                    let layer = dag.add_node(layer_of(graph, grouping, &channel_axes, node, kind));
                    for source in sources {
                        dag.add_edge(source, layer, ());
                    }
                    vec![layer]
                }
            };
            for output in &node.outputs {
                carried[output.index()].clone_from(&carries);
            }
        }
        Self { dag }
    }

    /// Layers in program order.
    pub fn layers(&self) -> impl Iterator<Item = &Layer> {
        self.dag.node_weights()
    }

    /// Number of layers.
    pub fn len(&self) -> usize {
        self.dag.node_count()
    }

    /// Whether there is no layer.
    pub fn is_empty(&self) -> bool {
        self.dag.node_count() == 0
    }

    /// Pairs of layers between which data flow, each once.
    pub fn edges(&self) -> Vec<(usize, usize)> {
        self.dag.edge_references().map(|edge| (edge.source().index(), edge.target().index())).collect()
    }

    /// The longest feature vector, `C_max`.
    pub fn max_channels(&self) -> usize {
        self.layers().map(Layer::channels).max().unwrap_or(0)
    }
}

/// An addition of parameters or numbers joins no branches.
fn is_scalar_add(graph: &Graph, node: &Node, kind: LayerKind) -> bool {
    let is_data = |value: &ValueId| !matches!(graph.producer(*value), Producer::Parameter(_));
    kind == LayerKind::Add && node.inputs().iter().filter(|value| is_data(value)).count() < 2
}

fn layer_of(graph: &Graph, grouping: &Grouping, channel_axes: &ChannelAxes<'_>, node: &Node, kind: LayerKind) -> Layer {
    let output = node.outputs[0];
    let dims = grouping.axes().dims(output);
    let axis = channel_axes.at(node, output);
    let mut segments: Vec<Segment> = Vec::new();
    let mut fixed = 0;
    match axis.map(|axis| &dims[axis]) {
        Some(Dim::Channels(elements)) => {
            for &element in elements.iter() {
                let places = grouping.places(element);
                if places.is_empty() {
                    fixed += 1;
                }
                let merged = places.len() > 1;
                for &(group, _) in places {
                    // Multiplicity counts entries first and becomes entries per channel below.
                    let channels = grouping.groups()[group].channels();
                    match segments.iter_mut().find(|segment| segment.group == group) {
                        Some(_) if merged => {}
                        Some(segment) => segment.multiplicity += 1,
                        None => {
                            let multiplicity = if merged { channels } else { 1 };
                            segments.push(Segment { group, multiplicity, offset: 0 });
                        }
                    }
                }
            }
        }
        Some(Dim::Fixed(_)) => fixed = axis.map_or(0, |axis| graph.value(output).shape[axis].at_batch(1) as usize),
        None => {}
    }
    let mut offset = 0;
    for segment in &mut segments {
        segment.offset = offset;
        offset += segment.multiplicity;
        segment.multiplicity /= grouping.groups()[segment.group].channels();
    }
    Layer { name: node.name.clone(), kind, segments, fixed: offset..offset + fixed }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Net;

    #[test]
    fn activations_vanish_and_the_skip_edge_stays() {
        let mut net = Net::new(&[3, 4, 4]);
        net.conv("stem", 8, 3, 1).relu();
        let stream = net.here();
        net.conv("a", 6, 3, 1)
            .batch_norm("bn")
            .relu()
            .conv("b", 8, 3, 1)
            .add(stream)
            .mean(&[2, 3], false)
            .linear("fc", 4);
        let graph = net.graph();
        let layers = LayerGraph::of(&graph, &Grouping::of(&graph));
        let names: Vec<&str> = layers.layers().map(|layer| layer.name.as_str()).collect();
        assert_eq!(names[..4], ["stem", "a", "bn", "b"]);
        assert_eq!(layers.edges().len(), 7, "a chain of seven layers has six edges, the skip is the seventh");
        assert!(layers.edges().contains(&(0, 4)), "stem reaches the addition past the block");
    }

    #[test]
    fn a_concatenation_holds_one_segment_per_group_and_the_fixed_channels_last() {
        let mut net = Net::new(&[3, 4, 4]);
        let input = net.here();
        net.conv("a", 6, 3, 1).cat(input);
        let first = net.here();
        net.at(input).conv("b", 4, 3, 1).cat(first).conv("head", 2, 1, 1);
        let graph = net.graph();
        let layers = LayerGraph::of(&graph, &Grouping::of(&graph));
        let concat = layers.layers().nth(3).unwrap();
        assert_eq!(concat.kind, LayerKind::Concat);
        let segment = |group, offset| Segment { group, multiplicity: 1, offset };
        assert_eq!(concat.segments, [segment(0, 0), segment(1, 6)]);
        assert_eq!(concat.fixed, 10..13);
        assert_eq!(layers.max_channels(), 13);
    }

    #[test]
    fn an_addition_of_tokens_has_an_entry_for_each_feature_and_not_for_each_token() {
        let mut net = Net::new(&[5, 12]);
        net.linear("embed", 6);
        let stream = net.here();
        net.linear("a", 4).relu().linear("b", 6).add(stream).linear("head", 2);
        let graph = net.graph();
        let layers = LayerGraph::of(&graph, &Grouping::of(&graph));
        let add = layers.layers().find(|layer| layer.kind == LayerKind::Add).unwrap();
        assert_eq!(add.segments, [Segment { group: 0, multiplicity: 1, offset: 0 }]);
        assert_eq!(add.channels(), 6);
    }

    #[test]
    fn a_convolution_is_a_layer_however_it_is_spelled() {
        let spelled = |op: &str| {
            let mut net = Net::new(&[3, 4, 4]);
            net.conv("a", 6, 3, 1).conv_transpose("up", 5, 2, 1).conv("b", 2, 1, 1);
            let mut file = net.graph().into_file();
            for node in file.nodes.iter_mut().filter(|node| node.op == "aten::conv2d") {
                node.op = op.to_owned();
            }
            let graph = Graph::new(file).unwrap();
            let layers = LayerGraph::of(&graph, &Grouping::of(&graph));
            layers.layers().map(|layer| (layer.name.clone(), layer.channels())).collect::<Vec<_>>()
        };
        let all = [("a", 6), ("up", 5), ("b", 2)].map(|(name, channels)| (name.to_owned(), channels));
        assert_eq!(spelled("aten::conv2d"), all, "the transposed one is a convolution as `_convolution` is");
        assert_eq!(spelled("aten::_convolution_mode"), all, "padding by name, as `same`");
    }
}

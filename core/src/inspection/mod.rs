//! What a person wants to know of a network before and after: layers, groups, costs.

mod export;
mod obstacle;
mod summary;

use std::collections::BTreeMap;

use crate::axes::Dim;
use crate::configuration::{Configuration, Constraints, Limits};
use crate::cost::{CostModel, Metric};
use crate::graph::{Graph, Node, ParameterKind, ValueId};
use crate::group::{ChannelAxes, Grouping, Owner};
use crate::method::reachable;
use crate::operator;
use crate::output;

pub use export::{ExpectedExport, ExportKind};
pub use obstacle::Obstacle;
pub use summary::{GroupSummary, LayerSummary, LayerWidth, ModelSummary};

/// Layers, groups, costs and reachable reductions of a network.
pub fn summarise(graph: &Graph, grouping: &Grouping) -> ModelSummary {
    let costs = CostModel::of(graph, grouping);
    let channel_axes = ChannelAxes::of(graph, grouping.axes());
    let macs: BTreeMap<usize, u64> = costs.macs_by_node(costs.full_widths());
    let layers = layers(graph)
        .map(|(index, node)| {
            let output = output_channels(graph, grouping, &channel_axes, node);
            LayerSummary {
                layer: node.name.clone(),
                kind: operator::short_name(&node.op).to_owned(),
                channels_in: input_channels(graph, &channel_axes, node),
                channels_out: output.as_ref().map(|output| output.channels),
                group: output.as_ref().and_then(|output| output.group.clone()),
                macs: macs.get(&index).copied().unwrap_or(0),
                params: own_parameters(graph, node),
                unprunable: output.and_then(|output| output.unprunable),
            }
        })
        .collect();
    let prunable = grouping.groups().iter().map(|group| GroupSummary {
        name: group.name.clone(),
        channels: group.channels() as u64,
        tensors: group.tensors(),
        unprunable: None,
    });
    let frozen = grouping.frozen().iter().map(|frozen| {
        let tensors: Vec<String> = frozen
            .owners
            .iter()
            .filter_map(|owner| match owner {
                Owner::Parameter { name, axis } => Some(format!("{name}:{axis}")),
                Owner::Activation { .. } => None,
            })
            .collect();
        GroupSummary {
            name: tensors.first().cloned().unwrap_or_default(),
            channels: frozen.channels as u64,
            tensors,
            unprunable: Some(grouping.axes().cause(frozen.reason).to_string()),
        }
    });
    let share = |metric| reachable(graph, grouping, &costs, &Constraints::default(), metric).unwrap_or(0.0);
    let by_metric: BTreeMap<String, f64> =
        Metric::COUNTED.into_iter().map(|metric| (metric.field().to_owned(), share(metric))).collect();
    let obstacles = obstacle::obstacles(graph, grouping);
    let (connections, joins) = connections(graph);
    let largest_flops_reduction = share(Metric::Flops);
    ModelSummary {
        inputs: sample_shapes(graph),
        base: costs.full(),
        layers,
        connections,
        joins,
        groups: prunable.chain(frozen).collect(),
        log10_space: log10_space(graph, grouping),
        advice: obstacle::advice(graph, grouping, &obstacles, largest_flops_reduction),
        obstacles,
        specialisations: graph.file().specialisations.clone(),
        free_sizes: graph.file().free_sizes.clone(),
        outputs: output::outputs(graph),
        export: None,
        reachable: by_metric,
    }
}

/// Each group takes one of its allowed widths, whatever the others do.
fn log10_space(graph: &Graph, grouping: &Grouping) -> f64 {
    let Ok(limits) = Limits::new(graph, grouping, &Constraints::default()) else { return 0.0 };
    (0..limits.groups()).map(|group| (limits.allowed(group).len() as f64).log10()).sum()
}

/// Widths and costs of every layer with weights, before and after a configuration.
pub fn layer_widths(graph: &Graph, grouping: &Grouping, configuration: &Configuration) -> Vec<LayerWidth> {
    let costs = CostModel::of(graph, grouping);
    let channel_axes = ChannelAxes::of(graph, grouping.axes());
    let widths = configuration.widths();
    let before: BTreeMap<usize, u64> = costs.macs_by_node(costs.full_widths());
    let after: BTreeMap<usize, u64> = costs.macs_by_node(&widths);
    layers(graph)
        .filter_map(|(index, node)| {
            let output = output_channels(graph, grouping, &channel_axes, node)?;
            let value = *node.outputs.first()?;
            let width = grouping.width(graph, value, output.axis);
            Some(LayerWidth {
                layer: node.name.clone(),
                kind: operator::short_name(&node.op).to_owned(),
                group: output.group,
                channels_before: output.channels,
                channels_after: width.at(&widths),
                macs_before: before.get(&index).copied().unwrap_or(0),
                macs_after: after.get(&index).copied().unwrap_or(0),
            })
        })
        .collect()
}

/// Shapes of one sample of each input.
pub fn sample_shapes(graph: &Graph) -> Vec<Vec<i64>> {
    let shape = |value: &ValueId| graph.value(*value).shape.iter().skip(1).map(|size| size.fixed).collect();
    graph.inputs().iter().map(shape).collect()
}

/// Nodes that own weights.
fn layers(graph: &Graph) -> impl Iterator<Item = (usize, &Node)> {
    graph
        .nodes()
        .iter()
        .enumerate()
        .filter(|(_, node)| !is_transposition(graph, node))
        .filter(|(_, node)| own_parameters(graph, node) > 0 || operator::weight(graph, node).is_some())
}

/// How data flow between the layers: pairs of places, and the operators at the places behind those of the layers.
fn connections(graph: &Graph) -> (Vec<(usize, usize)>, Vec<String>) {
    let layers: Vec<usize> = layers(graph).map(|(index, _)| index).collect();
    let (mut connections, mut joins) = (Vec::new(), Vec::new());
    // For each value, the places whose data it carries.
    let mut carried: Vec<Vec<usize>> = vec![Vec::new(); graph.values().len()];
    for (index, node) in graph.nodes().iter().enumerate() {
        let mut sources: Vec<usize> =
            node.inputs().iter().flat_map(|input| carried[input.index()].iter().copied()).collect();
        sources.sort_unstable();
        sources.dedup();
        let place = match layers.binary_search(&index) {
            Ok(place) => Some(place),
            Err(_) if sources.len() > 1 => {
                joins.push(operator::short_name(&node.op).to_owned());
                Some(layers.len() + joins.len() - 1)
            }
            Err(_) => None,
        };
        let carries = match place {
            None => sources,
            Some(place) => {
                connections.extend(sources.into_iter().map(|source| (source, place)));
                vec![place]
            }
        };
        for output in &node.outputs {
            carried[output.index()].clone_from(&carries);
        }
    }
    (connections, joins)
}

/// Whether a node only transposes a parameter, for the linear layer that reads it.
fn is_transposition(graph: &Graph, node: &Node) -> bool {
    node.outputs.iter().any(|&output| operator::parameter_behind(graph, output).is_some())
}

/// Elements of the parameters that a node reads, directly or transposed.
fn own_parameters(graph: &Graph, node: &Node) -> u64 {
    node.inputs()
        .into_iter()
        .filter_map(|value| operator::parameter_behind(graph, value))
        .filter(|parameter| parameter.kind == ParameterKind::Parameter)
        .map(|parameter| graph.value(parameter.value).shape.iter().map(|size| size.fixed as u64).product::<u64>())
        .sum()
}

fn input_channels(graph: &Graph, channel_axes: &ChannelAxes<'_>, node: &Node) -> Option<u64> {
    let input = operator::input(node)?;
    let axis = channel_axes.at(node, input)?;
    Some(graph.value(input).shape[axis].at_batch(1) as u64)
}

struct OutputChannels {
    axis: usize,
    channels: u64,
    group: Option<String>,
    unprunable: Option<String>,
}

fn output_channels(
    graph: &Graph,
    grouping: &Grouping,
    channel_axes: &ChannelAxes<'_>,
    node: &Node,
) -> Option<OutputChannels> {
    let output = *node.outputs.first()?;
    let axis = channel_axes.at(node, output)?;
    let channels = graph.value(output).shape[axis].at_batch(1) as u64;
    let mut names: Vec<String> = Vec::new();
    let mut unprunable = None;
    match &grouping.axes().dims(output)[axis] {
        Dim::Fixed(reason) => unprunable = Some(grouping.axes().cause(*reason).to_string()),
        Dim::Channels(elements) => {
            for &element in elements.iter() {
                let places = grouping.places(element);
                for &(group, _) in places {
                    let name = &grouping.groups()[group].name;
                    if !names.contains(name) {
                        names.push(name.clone());
                    }
                }
                if places.is_empty() && unprunable.is_none() {
                    let reason = grouping.axes().frozen(element);
                    unprunable = Some(reason.map_or_else(
                        || "no layer reads its channels".to_owned(),
                        |reason| grouping.axes().cause(reason).to_string(),
                    ));
                }
            }
        }
    }
    // Part of the channels can be cut: the layer is prunable.
    let unprunable = if names.is_empty() { unprunable } else { None };
    let group = (!names.is_empty()).then(|| names.join(" + "));
    Some(OutputChannels { axis, channels, group, unprunable })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Net;

    #[test]
    fn a_position_embedding_shows_the_features_of_the_tokens_and_not_their_number() {
        let mut net = Net::new(&[5, 12]);
        net.linear("embed", 6);
        let position = net.weight("position", &[1, 5, 6]);
        net.apply("aten::add", &[("other", position)], &[5, 6]).layer_norm("norm").linear("head", 4);
        let graph = net.graph();
        let grouping = Grouping::of(&graph);
        let summary = summarise(&graph, &grouping);
        let add = summary.layers.iter().find(|layer| layer.kind == "add").unwrap();
        assert_eq!((add.channels_in, add.channels_out), (Some(6), Some(6)), "of five tokens");
        assert_eq!((add.group.as_deref(), add.unprunable.as_deref()), (Some("embed"), None));

        let halved = Configuration { keep: vec![vec![0, 2, 4]] };
        let widths = layer_widths(&graph, &grouping, &halved);
        let add = widths.iter().find(|layer| layer.kind == "add").unwrap();
        assert_eq!((add.channels_before, add.channels_after), (6, 3));
    }

    #[test]
    fn a_shortcut_meets_the_other_way_in_a_join() {
        let mut net = Net::new(&[3, 8, 8]);
        net.conv("stem", 6, 3, 1);
        let shortcut = net.here();
        net.conv("inner", 6, 3, 1);
        net.add(shortcut).conv("head", 4, 1, 1);
        let graph = net.graph();
        let summary = summarise(&graph, &Grouping::of(&graph));
        let names = summary.layers.iter().map(|layer| &layer.layer).chain(&summary.joins);
        let names: Vec<&str> = names.map(String::as_str).collect();
        let connections: Vec<_> = summary.connections.iter().map(|&(from, to)| (names[from], names[to])).collect();
        assert_eq!(connections, [("stem", "inner"), ("stem", "add"), ("inner", "add"), ("add", "head")]);
    }

    #[test]
    fn a_scale_of_images_shows_their_channels() {
        let mut net = Net::new(&[3, 8, 8]);
        net.conv("a", 6, 3, 1);
        let scale = net.weight("gamma", &[6, 1, 1]);
        net.apply("aten::mul", &[("other", scale)], &[6, 8, 8]).conv("b", 4, 1, 1);
        let graph = net.graph();
        let summary = summarise(&graph, &Grouping::of(&graph));
        let scaled = summary.layers.iter().find(|layer| layer.kind == "mul").unwrap();
        assert_eq!((scaled.channels_out, scaled.group.as_deref()), (Some(6), Some("a")));
    }
}

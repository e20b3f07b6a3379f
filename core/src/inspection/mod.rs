//! What a person wants to know of a network before and after: layers, groups, costs.

mod obstacle;
mod summary;

use std::collections::BTreeMap;

use crate::configuration::{Configuration, Constraints, Limits};
use crate::cost::{CostModel, Metric};
use crate::graph::{Graph, Node, Parameter, ParameterKind, Producer, ValueId};
use crate::group::{Dim, Grouping, Owner};
use crate::method::reachable;

pub use obstacle::Obstacle;
pub use summary::{GroupSummary, LayerSummary, LayerWidth, ModelSummary};

/// Layers, groups, costs and reachable reductions of a network.
pub fn summarise(graph: &Graph, grouping: &Grouping) -> ModelSummary {
    let costs = CostModel::of(graph, grouping);
    let macs: BTreeMap<usize, u64> = costs.macs_by_node(costs.full_widths());
    let layers = layers(graph)
        .map(|(index, node)| {
            let output = output_channels(graph, grouping, node);
            LayerSummary {
                layer: node.name.clone(),
                kind: short(&node.op),
                channels_in: input_channels(graph, node),
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
            unprunable: Some(frozen.reason.clone()),
        }
    });
    let share = |metric| reachable(graph, grouping, &costs, &Constraints::default(), metric).unwrap_or(0.0);
    let by_metric: BTreeMap<String, f64> =
        Metric::COUNTED.into_iter().map(|metric| (metric.field().to_owned(), share(metric))).collect();
    let obstacles = obstacle::obstacles(graph, grouping);
    let largest_flops_reduction = share(Metric::Flops);
    ModelSummary {
        inputs: sample_shapes(graph),
        base: costs.full(),
        layers,
        groups: prunable.chain(frozen).collect(),
        log10_space: log10_space(graph, grouping),
        advice: obstacle::advice(graph, grouping, &obstacles, largest_flops_reduction),
        obstacles,
        specialisations: graph.file().specialisations.clone(),
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
    let widths = configuration.widths();
    let before: BTreeMap<usize, u64> = costs.macs_by_node(costs.full_widths());
    let after: BTreeMap<usize, u64> = costs.macs_by_node(&widths);
    layers(graph)
        .filter_map(|(index, node)| {
            let output = output_channels(graph, grouping, node)?;
            let value = *node.outputs.first()?;
            let width = grouping.width(graph, value, output.axis);
            Some(LayerWidth {
                layer: node.name.clone(),
                kind: short(&node.op),
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
        .filter(|(_, node)| node.op != "aten::t" && (own_parameters(graph, node) > 0 || weight(graph, node).is_some()))
}

fn short(op: &str) -> String {
    op.strip_prefix("aten::").unwrap_or(op).trim_matches('_').to_owned()
}

/// Elements of the parameters that a node reads, directly or transposed.
fn own_parameters(graph: &Graph, node: &Node) -> u64 {
    node.inputs()
        .into_iter()
        .filter_map(|value| parameter_behind(graph, value))
        .filter(|parameter| parameter.kind == ParameterKind::Parameter)
        .map(|parameter| graph.value(parameter.value).shape.iter().map(|size| size.fixed as u64).product::<u64>())
        .sum()
}

fn parameter_behind(graph: &Graph, value: ValueId) -> Option<&Parameter> {
    match graph.producer(value) {
        Producer::Parameter(index) => Some(&graph.parameters()[index]),
        Producer::Input(_) => None,
        Producer::Node { node, .. } => {
            let node = &graph.nodes()[node];
            if node.op == "aten::t" { parameter_behind(graph, *node.inputs().first()?) } else { None }
        }
    }
}

/// The matrix or kernel of a node: the operand called `weight`, or `mat2`.
fn weight<'a>(graph: &'a Graph, node: &Node) -> Option<&'a Parameter> {
    ["weight", "mat2"].into_iter().find_map(|name| parameter_behind(graph, node.tensor(name)?))
}

fn input_channels(graph: &Graph, node: &Node) -> Option<u64> {
    let input = ["input", "mat1", "self"].into_iter().find_map(|name| node.tensor(name))?;
    let shape = &graph.value(input).shape;
    shape.get(channel_axis(node, shape.len())).map(|size| size.at_batch(1) as u64)
}

/// Dimension 1 of images and of sequences that are convolved, the last of everything else.
fn channel_axis(node: &Node, rank: usize) -> usize {
    let features_last = matches!(
        node.op.as_str(),
        "aten::linear"
            | "aten::addmm"
            | "aten::embedding"
            | "aten::layer_norm"
            | "aten::rms_norm"
            | "aten::lstm"
            | "aten::gru"
            | "aten::rnn_tanh"
            | "aten::rnn_relu"
    );
    if features_last { rank.saturating_sub(1) } else { 1.min(rank.saturating_sub(1)) }
}

struct OutputChannels {
    axis: usize,
    channels: u64,
    group: Option<String>,
    unprunable: Option<String>,
}

fn output_channels(graph: &Graph, grouping: &Grouping, node: &Node) -> Option<OutputChannels> {
    let output = *node.outputs.first()?;
    let shape = &graph.value(output).shape;
    let axis = channel_axis(node, shape.len());
    let channels = shape.get(axis)?.at_batch(1) as u64;
    let mut names: Vec<String> = Vec::new();
    let mut unprunable = None;
    match &grouping.axes().dims(output)[axis] {
        Dim::Fixed(reason) => unprunable = Some(grouping.axes().text(*reason).to_owned()),
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
                    unprunable =
                        Some(reason.map_or("no layer reads it", |reason| grouping.axes().text(reason)).to_owned());
                }
            }
        }
    }
    // Part of the channels can be cut: the layer is prunable.
    let unprunable = if names.is_empty() { unprunable } else { None };
    let group = (!names.is_empty()).then(|| names.join(" + "));
    Some(OutputChannels { axis, channels, group, unprunable })
}

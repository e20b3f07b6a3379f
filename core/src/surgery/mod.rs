//! Physical surgery: from a configuration to the cut graph and the kept indices of every tensor.

mod consumer;
mod hint;
mod reference;

use std::collections::BTreeMap;
use std::num::ParseIntError;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::axes::Dim;
use crate::configuration::Configuration;
use crate::graph::{Graph, Size, ValueId};
use crate::group::Grouping;
use crate::operator::{self, Shapes};

pub use consumer::{Consumer, Direction, Form, Goal, Intercept, Source, Use, Windows, arranged, consumers};
pub use hint::{Hint, hints};
pub use reference::{Constant, Reference};

/// Indices of tensors by parameter name and axis; the format of `kept` in `report.json`.
///
/// On the wire `{"layer1.0.conv1.weight": {"0": [0, 2, 5], "1": [1, 3]}}`. For a grouped convolution axis 1 counts inside a group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "BTreeMap<String, BTreeMap<String, Vec<u32>>>")]
pub struct AxisIndices(pub BTreeMap<String, BTreeMap<usize, Vec<u32>>>);

/// Inside an internally tagged enum, as on the engine's pipe, serde reads no number from the name of a JSON field.
impl TryFrom<BTreeMap<String, BTreeMap<String, Vec<u32>>>> for AxisIndices {
    type Error = ParseIntError;

    fn try_from(wire: BTreeMap<String, BTreeMap<String, Vec<u32>>>) -> Result<Self, ParseIntError> {
        let by_axis = |axes: BTreeMap<String, Vec<u32>>| -> Result<BTreeMap<usize, Vec<u32>>, ParseIntError> {
            axes.into_iter().map(|(axis, indices)| Ok((axis.parse()?, indices))).collect()
        };
        let tensors = wire.into_iter().map(|(name, axes)| Ok((name, by_axis(axes)?)));
        Ok(Self(tensors.collect::<Result<_, ParseIntError>>()?))
    }
}

/// A network cut by a configuration.
#[derive(Debug, Clone)]
pub struct Cut {
    /// Smaller shapes, rewritten literals and numbers; the same nodes, parameters and names.
    pub graph: Graph,
    /// For every changed tensor, per changed axis, the kept original indices, ascending.
    pub kept: AxisIndices,
    /// For the oracle: the input columns of consumers that are removed. Zeroing these in the original must not change
    /// what the cut network computes.
    pub zeroed: AxisIndices,
    /// For the oracle: what it runs instead of the original where zeroed columns are not enough.
    pub reference: Option<Reference>,
}

/// A configuration that does not fit the groups.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigurationError {
    /// There is not one list of channels for each group.
    #[error("the configuration has {given} groups, the network has {expected}")]
    GroupCount {
        /// Lists in the configuration.
        given: usize,
        /// Groups of the network.
        expected: usize,
    },
    /// The named group keeps no channel.
    #[error("group `{0}` would lose all its channels")]
    Empty(String),
    /// A kept channel does not exist.
    #[error("group `{group}` has the channels 0 to {}, the configuration keeps channel {channel}", channels - 1)]
    UnknownChannel {
        /// Name of the group.
        group: String,
        /// Channels of the group.
        channels: usize,
        /// The channel that does not exist.
        channel: u32,
    },
    /// The channels of the named group are not ascending, or one is there twice.
    #[error("the kept channels of group `{0}` are not in ascending order")]
    Unordered(String),
}

/// Checks that a configuration fits the groups: one ascending, non-empty list of channels for each.
///
/// # Errors
/// The first thing that does not fit.
pub fn check(grouping: &Grouping, configuration: &Configuration) -> Result<(), ConfigurationError> {
    let groups = grouping.groups();
    if configuration.keep.len() != groups.len() {
        return Err(ConfigurationError::GroupCount { given: configuration.keep.len(), expected: groups.len() });
    }
    for (group, keep) in groups.iter().zip(&configuration.keep) {
        if keep.is_empty() {
            return Err(ConfigurationError::Empty(group.name.clone()));
        }
        if !keep.is_sorted_by(|a, b| a < b) {
            return Err(ConfigurationError::Unordered(group.name.clone()));
        }
        let channels = group.channels();
        if let Some(&channel) = keep.iter().find(|&&channel| channel as usize >= channels) {
            return Err(ConfigurationError::UnknownChannel { group: group.name.clone(), channels, channel });
        }
    }
    Ok(())
}

/// Cuts a graph: which indices of which tensor remain, and the graph with the smaller shapes and rewritten literals.
///
/// # Errors
/// The configuration does not fit the groups.
///
/// # Panics
/// A rule of an operator rewrites the structure of the graph; always our bug.
pub fn cut(graph: &Graph, grouping: &Grouping, configuration: &Configuration) -> Result<Cut, ConfigurationError> {
    check(grouping, configuration)?;
    let remaining = grouping.remaining(&configuration.keep);
    let after: Vec<Vec<Size>> = (0..graph.values().len())
        .map(|index| {
            let value = ValueId(index as u32);
            let shape = &graph.value(value).shape;
            let dims = grouping.axes().dims(value);
            let resize = |(size, dim): (&Size, &Dim)| match dim {
                Dim::Fixed(_) => *size,
                Dim::Channels(elements) => {
                    let count = elements.iter().filter(|&&element| remaining.contains(element)).count() as i64;
                    match size.as_fixed() {
                        Some(_) => Size::fixed(count),
                        // Elements of one sample, for each sample of the batch.
                        None => Size { per_sample: count, fixed: 0 },
                    }
                }
            };
            shape.iter().zip(dims).map(resize).collect()
        })
        .collect();

    let mut kept = AxisIndices::default();
    let mut zeroed = AxisIndices::default();
    for parameter in graph.parameters() {
        for (axis, dim) in grouping.axes().dims(parameter.value).iter().enumerate() {
            let Dim::Channels(elements) = dim else { continue };
            let (mut indices, mut columns) = (Vec::new(), Vec::new());
            for (index, &element) in elements.iter().enumerate() {
                if remaining.contains(element) {
                    indices.push(index as u32);
                } else if grouping.axes().is_contracted(element) {
                    columns.push(index as u32);
                }
            }
            if indices.len() < elements.len() {
                kept.0.entry(parameter.name.clone()).or_default().insert(axis, indices);
            }
            if !columns.is_empty() {
                zeroed.0.entry(parameter.name.clone()).or_default().insert(axis, columns);
            }
        }
    }

    let mut file = graph.file().clone();
    let shapes = Shapes { before: graph, after: &after, remaining: &remaining };
    let reference = Reference::of(&shapes, grouping);
    let is_cut = |value: ValueId| graph.value(value).shape != after[value.index()];
    for node in &mut file.nodes {
        // A node that nothing was cut of stays as it is, also one that the rule of its operator does not apply to.
        let is_touched = node.inputs().into_iter().chain(node.outputs.iter().copied()).any(is_cut);
        if let Some(operator) = operator::of(node)
            && is_touched
        {
            operator.rewrite(node, &shapes);
        }
    }
    for parameter in &mut file.parameters {
        parameter.numbers = operator::renumbered(parameter, &shapes);
    }
    for held in file.methods.iter_mut().flat_map(|method| &mut method.held) {
        if let Some(indices) = kept.0.get(&held.parameter).and_then(|axes| axes.get(&held.axis)) {
            let place = |index: &u32| indices.binary_search(index).ok().map(|place| place as u32);
            held.indices = held.indices.iter().filter_map(place).collect();
        }
    }
    for (value, shape) in file.values.iter_mut().zip(after) {
        value.shape = shape;
    }
    let graph = Graph::new(file).expect("surgery changes sizes, not the structure that was checked");
    Ok(Cut { graph, kept, zeroed, reference })
}

/// The network with the surgery against the original with the removed input columns zeroed, before any fine-tuning.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Equivalence {
    /// Largest difference between the outputs of the two.
    pub max_abs_diff: f64,
    /// What `max_abs_diff` may be at most; scales with the outputs' magnitude.
    pub tolerance: f64,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cost::{CostModel, Costs};
    use crate::graph::ParameterKind;
    use crate::testing::Net;

    /// A random transformer on six tokens of twelve features: attention of several shapes with or without a residual
    /// addition, and hidden layers.
    fn random_transformer(steps: &[(u8, u8)]) -> Net {
        let mut net = Net::new(&[6, 12]);
        net.linear("stem", 12);
        for (number, &(kind, width)) in steps.iter().enumerate() {
            let (name, before) = (format!("block{number}"), net.here());
            let (heads, head_dim) = (i64::from(width % 4) + 1, i64::from(width / 4 % 5) + 1);
            match kind % 4 {
                0 => net.attention(&name, heads, head_dim).linear(&format!("{name}.proj"), 12).add(before),
                1 => net.matmul_attention(&name, heads, head_dim).linear(&format!("{name}.proj"), 12).add(before),
                2 => net.attention(&name, heads, head_dim).linear(&format!("{name}.proj"), 12),
                _ => net
                    .linear(&format!("{name}.a"), i64::from(width) % 9 + 2)
                    .relu()
                    .linear(&format!("{name}.b"), 12)
                    .add(before),
            };
        }
        net.mean(&[1], false).linear("head", 5);
        net
    }

    /// Counts a graph's costs from its shapes alone, without groups.
    fn recount(graph: &Graph) -> (u64, u64) {
        let sizes = |value: ValueId| graph.value(value).shape.iter().map(|size| size.at_batch(1) as u64);
        let params = graph.parameters().iter().filter(|parameter| parameter.kind == ParameterKind::Parameter);
        let params = params.map(|parameter| sizes(parameter.value).product::<u64>()).sum();
        let macs = graph.nodes().iter().map(|node| {
            let output: u64 = sizes(node.outputs[0]).product();
            match node.op.as_str() {
                "aten::conv2d" => output * sizes(node.tensor("weight").unwrap()).skip(1).product::<u64>(),
                "aten::linear" => output * sizes(node.tensor("weight").unwrap()).nth(1).unwrap(),
                "aten::addmm" => output * sizes(node.tensor("mat2").unwrap()).next().unwrap(),
                "aten::matmul" => output * sizes(node.tensor("self").unwrap()).next_back().unwrap(),
                "aten::scaled_dot_product_attention" => {
                    let keys = sizes(node.tensor("key").unwrap()).nth(2).unwrap();
                    let query: u64 = sizes(node.tensor("query").unwrap()).product();
                    keys * (query + output)
                }
                _ => 0,
            }
        });
        (macs.sum(), params)
    }

    /// What every operator demands of its operands' sizes.
    fn assert_sizes_fit(graph: &Graph) {
        let size = |value: ValueId, axis: usize| graph.value(value).shape[axis].at_batch(1);
        for node in graph.nodes() {
            let output = node.outputs[0];
            match node.op.as_str() {
                "aten::conv2d" => {
                    let (input, weight) = (node.tensor("input").unwrap(), node.tensor("weight").unwrap());
                    assert_eq!(size(input, 1), size(weight, 1) * node.int("groups").unwrap(), "{}", node.name);
                    assert_eq!(size(weight, 0) % node.int("groups").unwrap(), 0, "{}", node.name);
                    assert_eq!(size(output, 1), size(weight, 0), "{}", node.name);
                    assert_eq!(size(output, 1), size(node.tensor("bias").unwrap(), 0), "{}", node.name);
                }
                "aten::batch_norm" => {
                    for name in ["weight", "bias", "running_mean", "running_var"] {
                        assert_eq!(size(node.tensor(name).unwrap(), 0), size(output, 1), "{}", node.name);
                    }
                }
                "aten::add" => {
                    let shape = |name| &graph.value(node.tensor(name).unwrap()).shape;
                    assert_eq!(shape("self"), shape("other"), "{}", node.name);
                }
                "aten::cat" => {
                    assert_eq!(node.inputs().iter().map(|&part| size(part, 1)).sum::<i64>(), size(output, 1));
                }
                "aten::linear" => {
                    let features = graph.value(node.tensor("input").unwrap()).shape.last().unwrap().fixed;
                    assert_eq!(features, size(node.tensor("weight").unwrap(), 1), "{}", node.name);
                }
                "aten::matmul" => {
                    let (left, right) = (node.tensor("self").unwrap(), node.tensor("other").unwrap());
                    assert_eq!((size(left, 1), size(left, 3)), (size(right, 1), size(right, 2)), "{}", node.name);
                    assert_eq!((size(output, 1), size(output, 3)), (size(left, 1), size(right, 3)), "{}", node.name);
                }
                "aten::scaled_dot_product_attention" => {
                    let [query, key, value] = ["query", "key", "value"].map(|name| node.tensor(name).unwrap());
                    assert_eq!((size(query, 1), size(query, 3)), (size(key, 1), size(key, 3)), "{}", node.name);
                    assert_eq!((size(output, 1), size(output, 3)), (size(value, 1), size(value, 3)), "{}", node.name);
                }
                "aten::view" => {
                    let sizes = node.ints("size").unwrap();
                    assert_eq!(sizes, &graph.value(output).shape[..], "{}", node.name);
                    let elements =
                        |value| graph.value(value).shape.iter().map(|size| size.at_batch(1)).product::<i64>();
                    assert_eq!(elements(node.tensor("self").unwrap()), elements(output), "{}", node.name);
                }
                "aten::addmm" => {
                    assert_eq!(size(node.tensor("mat1").unwrap(), 1), size(node.tensor("mat2").unwrap(), 0));
                }
                "aten::flatten" => {
                    let input = node.tensor("self").unwrap();
                    assert_eq!(size(output, 1), size(input, 1) * size(input, 2) * size(input, 3));
                }
                _ => {}
            }
        }
    }

    /// Cuts by some shares and compares what the cost model predicts with what the cut network has.
    fn assert_costs_are_predicted(graph: &Graph, shares: &[f64], offset: u32) -> Result<(), TestCaseError> {
        let grouping = Grouping::of(graph);
        let costs = CostModel::of(graph, &grouping);
        let keep = grouping.groups().iter().zip(shares.iter().cycle()).map(|(group, share)| {
            let channels = group.channels() as u32;
            let width = ((f64::from(channels) * share) as u32).max(1);
            let mut keep: Vec<u32> = (0..width).map(|rank| (rank + offset) % channels).collect();
            keep.sort_unstable();
            keep
        });
        let configuration = Configuration { keep: keep.collect() };
        let cut = cut(graph, &grouping, &configuration).unwrap();

        assert_sizes_fit(&cut.graph);
        let Costs { macs, params, .. } = costs.at(&configuration.widths());
        prop_assert_eq!(recount(&cut.graph), (macs, params));
        prop_assert_eq!(recount(graph), (costs.full().macs, costs.full().params));
        for (name, axes) in &cut.kept.0 {
            let shape = &cut.graph.value(cut.graph.parameter(name).unwrap().value).shape;
            for (&axis, indices) in axes {
                prop_assert_eq!(indices.len() as i64, shape[axis].fixed);
                prop_assert!(indices.is_sorted_by(|a, b| a < b));
            }
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn predicted_costs_equal_the_recount_of_the_cut_network(
            steps in prop::collection::vec((any::<u8>(), any::<u8>()), 0..7),
            shares in prop::collection::vec(0.01f64..1.0, 40),
            offset in 0u32..4,
        ) {
            assert_costs_are_predicted(&Net::random(&steps).graph(), &shares, offset)?;
        }

        #[test]
        fn predicted_costs_equal_the_recount_of_a_cut_transformer(
            steps in prop::collection::vec((any::<u8>(), any::<u8>()), 1..6),
            shares in prop::collection::vec(0.01f64..1.0, 40),
            offset in 0u32..4,
        ) {
            assert_costs_are_predicted(&random_transformer(&steps).graph(), &shares, offset)?;
        }
    }

    #[test]
    fn a_configuration_that_empties_a_group_is_refused_by_name() {
        let mut net = Net::new(&[3, 4, 4]);
        net.conv("a", 4, 3, 1).conv("b", 2, 1, 1);
        let graph = net.graph();
        let grouping = Grouping::of(&graph);
        let error = cut(&graph, &grouping, &Configuration { keep: vec![vec![]] }).unwrap_err();
        assert_eq!(error, ConfigurationError::Empty("a".to_owned()));
        let error = cut(&graph, &grouping, &Configuration { keep: vec![vec![1, 4]] }).unwrap_err();
        assert!(error.to_string().contains("keeps channel 4"), "{error}");
    }
}

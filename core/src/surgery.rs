//! Physical surgery: from a configuration to the cut graph and the kept indices of every tensor.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::candidate::Configuration;
use crate::graph::{Graph, Size, ValueId};
use crate::group::{Dim, Grouping};
use crate::operator::{self, Shapes};

/// Indices of tensors by parameter name and axis; the format of `kept` in `report.json`.
///
/// On the wire `{"layer1.0.conv1.weight": {"0": [0, 2, 5], "1": [1, 3]}}`. For a grouped convolution axis 1 counts inside a group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct AxisIndices(pub BTreeMap<String, BTreeMap<usize, Vec<u32>>>);

/// A network cut by a configuration.
#[derive(Debug, Clone)]
pub struct Cut {
    /// Smaller shapes, rewritten literals; the same nodes, parameters and names.
    pub graph: Graph,
    /// For every changed tensor, per changed axis, the kept original indices, ascending.
    pub kept: AxisIndices,
    /// For the oracle: the input columns of consumers that are removed. Zeroing these in the original must not change
    /// what the cut network computes.
    pub zeroed: AxisIndices,
}

/// A configuration that does not fit the groups.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigurationError {
    #[error("the configuration has {given} groups, the network has {expected}")]
    GroupCount { given: usize, expected: usize },
    #[error("group `{0}` would lose all its channels")]
    Empty(String),
    #[error("group `{group}` has {channels} channels, the configuration keeps channel {channel}")]
    UnknownChannel { group: String, channels: usize, channel: u32 },
    #[error("the kept channels of group `{0}` are not in ascending order")]
    Unordered(String),
}

/// Checks that a configuration fits the groups: one ascending, non-empty list of channels for each.
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
pub fn cut(graph: &Graph, grouping: &Grouping, configuration: &Configuration) -> Result<Cut, ConfigurationError> {
    check(grouping, configuration)?;
    let kept_channels: Vec<Vec<bool>> = grouping
        .groups()
        .iter()
        .zip(&configuration.keep)
        .map(|(group, keep)| {
            let mut kept = vec![false; group.channels()];
            for &channel in keep {
                kept[channel as usize] = true;
            }
            kept
        })
        .collect();
    let is_kept = |element| grouping.place(element).is_none_or(|(group, channel)| kept_channels[group][channel]);

    let after: Vec<Vec<Size>> = (0..graph.values().len())
        .map(|index| {
            let value = ValueId(index as u32);
            let shape = &graph.value(value).shape;
            let dims = grouping.axes().dims(value);
            let resize = |(size, dim): (&Size, &Dim)| match dim {
                Dim::Fixed(_) => *size,
                Dim::Channels(elements) => {
                    Size::fixed(elements.iter().filter(|&&element| is_kept(element)).count() as i64)
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
            let (mut remaining, mut columns) = (Vec::new(), Vec::new());
            for (index, &element) in elements.iter().enumerate() {
                if is_kept(element) {
                    remaining.push(index as u32);
                } else if grouping.axes().is_contracted(element) {
                    columns.push(index as u32);
                }
            }
            if remaining.len() < elements.len() {
                kept.0.entry(parameter.name.clone()).or_default().insert(axis, remaining);
            }
            if !columns.is_empty() {
                zeroed.0.entry(parameter.name.clone()).or_default().insert(axis, columns);
            }
        }
    }

    let mut file = graph.file().clone();
    let shapes = Shapes { before: graph, after: &after };
    for node in &mut file.nodes {
        if let Some(operator) = operator::of(node) {
            operator.rewrite(node, &shapes);
        }
    }
    for (value, shape) in file.values.iter_mut().zip(after) {
        value.shape = shape;
    }
    let graph = Graph::new(file).expect("surgery changes sizes, not the structure that was checked");
    Ok(Cut { graph, kept, zeroed })
}

//! Importance of channels: what a channel's weights weigh, over all tensors of its coupled group.
//!
//! A channel's importance is the sum, over the group's weight tensors of rank two and more, of the norm of the slices that go
//! with it (rows of producers and columns of consumers alike: DepGraph's group criterion, Fang et al., "DepGraph:
//! Towards Any Structural Pruning", CVPR 2023), divided by the group's mean, so that groups compare.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::graph::{Graph, ParameterKind};
use crate::group::{Group, Grouping, Owner};

/// How a slice of a tensor is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Criterion {
    /// Sum of magnitudes.
    L1,
    /// Root of the sum of squares.
    L2,
}

/// The float tensors of a model by parameter name, contiguous in row-major order.
pub type Weights = HashMap<String, Vec<f32>>;

/// The importance of every channel of every group, and the order that it gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Importance {
    /// Group, channel; each group's mean is 1.
    normalised: Vec<Vec<f64>>,
    /// Group, rank: channels from the most to the least important; equals by index.
    order: Vec<Vec<u32>>,
}

impl Importance {
    /// Measures all groups.
    ///
    /// # Panics
    /// When `weights` lacks a parameter of the graph or holds another number of elements than its shape says.
    pub fn measure(graph: &Graph, grouping: &Grouping, weights: &Weights, criterion: Criterion) -> Self {
        let normalised: Vec<Vec<f64>> =
            grouping.groups().iter().map(|group| of_group(graph, group, weights, criterion)).collect();
        let order = normalised
            .iter()
            .map(|scores| {
                let mut order: Vec<u32> = (0..scores.len() as u32).collect();
                order.sort_by(|&a, &b| scores[b as usize].total_cmp(&scores[a as usize]).then(a.cmp(&b)));
                order
            })
            .collect();
        Self { normalised, order }
    }

    /// Importance of a group's channels relative to the group's mean.
    pub fn scores(&self, group: usize) -> &[f64] {
        &self.normalised[group]
    }

    /// Channels of a group from the most to the least important.
    pub fn order(&self, group: usize) -> &[u32] {
        &self.order[group]
    }

    /// The `width` most important channels of a group, ascending by index.
    pub fn most_important(&self, group: usize, width: usize) -> Vec<u32> {
        let mut channels = self.order[group][..width].to_vec();
        channels.sort_unstable();
        channels
    }
}

fn of_group(graph: &Graph, group: &Group, weights: &Weights, criterion: Criterion) -> Vec<f64> {
    let mut scores = vec![0.0; group.channels()];
    for member in &group.members {
        let Owner::Parameter { name, axis } = &member.owner else { continue };
        let parameter = graph.parameter(name).expect("groups hold parameters of their graph");
        let shape: Vec<usize> = graph.value(parameter.value).shape.iter().map(|size| size.fixed as usize).collect();
        if shape.len() < 2 || parameter.kind != ParameterKind::Parameter {
            continue;
        }
        let tensor = weights.get(name).expect("the caller gives every parameter");
        assert_eq!(tensor.len(), shape.iter().product::<usize>(), "`{name}` has as many elements as its shape says");
        let per_index = along_axis(tensor, &shape, *axis, criterion);
        for (channel, score) in scores.iter_mut().enumerate() {
            let sum: f64 = member.of_channel(channel).iter().map(|&index| per_index[index as usize]).sum();
            *score += match criterion {
                Criterion::L1 => sum,
                Criterion::L2 => sum.sqrt(),
            };
        }
    }
    let mean = scores.iter().sum::<f64>() / scores.len() as f64;
    if mean > 0.0 {
        scores.iter_mut().for_each(|score| *score /= mean);
    }
    scores
}

/// For each index of an axis, the sum of magnitudes (L1) or of squares (L2) of its slice.
fn along_axis(tensor: &[f32], shape: &[usize], axis: usize, criterion: Criterion) -> Vec<f64> {
    let inner: usize = shape[axis + 1..].iter().product();
    let mut sums = vec![0.0; shape[axis]];
    for (row, chunk) in tensor.chunks_exact(inner.max(1)).enumerate() {
        let sum: f64 = match criterion {
            Criterion::L1 => chunk.iter().map(|&value| f64::from(value.abs())).sum(),
            Criterion::L2 => chunk.iter().map(|&value| f64::from(value) * f64::from(value)).sum(),
        };
        sums[row % shape[axis]] += sum;
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Net;

    #[test]
    fn a_channel_weighs_what_its_row_and_its_column_weigh() {
        let mut net = Net::new(&[2]);
        net.linear("a", 3).linear("b", 1);
        let graph = net.graph();
        let weights: Weights = [
            ("a.weight", vec![1.0, -1.0, 2.0, 2.0, 0.0, 0.0]),
            ("a.bias", vec![100.0, 0.0, 0.0]),
            ("b.weight", vec![0.0, -1.0, 3.0]),
            ("b.bias", vec![0.0]),
        ]
        .into_iter()
        .map(|(name, values)| (name.to_owned(), values))
        .collect();
        let grouping = Grouping::of(&graph);
        let importance = Importance::measure(&graph, &grouping, &weights, Criterion::L1);
        // Rows weigh 2, 4, 0 and columns 0, 1, 3; biases do not count.
        assert_eq!(importance.scores(0), [2.0, 5.0, 3.0].map(|weight| weight / (10.0 / 3.0)));
        assert_eq!(importance.order(0), [1, 2, 0]);
        assert_eq!(importance.most_important(0, 2), [1, 2]);
    }

    #[test]
    fn equal_channels_are_ordered_by_index() {
        let mut net = Net::new(&[2]);
        net.linear("a", 3).linear("b", 1);
        let graph = net.graph();
        let ones = |count| vec![1.0; count];
        let weights: Weights = [("a.weight", ones(6)), ("a.bias", ones(3)), ("b.weight", ones(3)), ("b.bias", ones(1))]
            .into_iter()
            .map(|(name, values)| (name.to_owned(), values))
            .collect();
        let grouping = Grouping::of(&graph);
        for criterion in [Criterion::L1, Criterion::L2] {
            assert_eq!(Importance::measure(&graph, &grouping, &weights, criterion).order(0), [0, 1, 2]);
        }
    }
}

//! The slices of one tensor that go with the channels of a group.

use super::Weights;
use crate::axes::Dim;
use crate::graph::{Graph, ParameterKind};
use crate::group::{Group, Grouping, Member, Owner};
use crate::operator;

/// What the slices are to the layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Weights that produce the channel.
    Filter,
    /// Weights of a later layer that read the channel.
    Column,
    /// The channel's scale in a batch norm.
    Scale,
    /// Biases and all else.
    Other,
}

/// A tensor's axis that a group shares.
#[derive(Debug)]
pub(super) struct Slices<'a> {
    pub(super) role: Role,
    name: &'a str,
    shape: Vec<usize>,
    axis: usize,
    channels: usize,
    member: &'a Member,
}

/// The parameters' axes of a group; buffers are left out.
pub(super) fn of_group<'a>(graph: &Graph, grouping: &Grouping, group: &'a Group) -> Vec<Slices<'a>> {
    let of_member = |member: &'a Member| {
        let Owner::Parameter { name, axis } = &member.owner else { return None };
        let parameter = graph.parameter(name).expect("groups hold parameters of their graph");
        if parameter.kind != ParameterKind::Parameter {
            return None;
        }
        let shape: Vec<usize> = graph.value(parameter.value).shape.iter().map(|size| size.fixed as usize).collect();
        let role = if shape.len() >= 2 {
            let Dim::Channels(elements) = &grouping.axes().dims(parameter.value)[*axis] else {
                unreachable!("a member's axis has channels")
            };
            let is_read = grouping.axes().is_contracted(elements[member.indices[0] as usize]);
            if is_read { Role::Column } else { Role::Filter }
        } else if is_batch_norm_scale(graph, name) {
            Role::Scale
        } else {
            Role::Other
        };
        Some(Slices { role, name, shape, axis: *axis, channels: group.channels(), member })
    };
    group.members.iter().filter_map(of_member).collect()
}

fn is_batch_norm_scale(graph: &Graph, name: &str) -> bool {
    graph.nodes().iter().any(|node| {
        let scale = operator::of(node).and_then(|operator| operator.batch_norm_scale(node));
        let scale = scale.and_then(|value| graph.as_parameter(value));
        scale.is_some_and(|scale| scale.tied_to.as_deref().unwrap_or(&scale.name) == name)
    })
}

impl Slices<'_> {
    /// Whether a layer reads the channels through it.
    pub(super) fn is_read(&self) -> bool {
        self.role == Role::Column
    }

    /// The tensor that is sliced.
    pub(super) fn tensor<'w>(&self, weights: &'w Weights) -> &'w [f32] {
        let tensor = weights.get(self.name).expect("the caller gives every parameter");
        let elements = self.shape.iter().product::<usize>();
        assert_eq!(tensor.len(), elements, "`{}` has as many elements as its shape says", self.name);
        tensor
    }

    /// For each channel, the sum over its slice of what `measure` makes of an element.
    pub(super) fn sums(&self, tensor: &[f32], measure: impl Fn(f64) -> f64) -> Vec<f64> {
        let mut by_index = vec![0.0; self.shape[self.axis]];
        for (row, chunk) in tensor.chunks_exact(self.inner()).enumerate() {
            let sum: f64 = chunk.iter().map(|&value| measure(f64::from(value))).sum();
            by_index[row % self.shape[self.axis]] += sum;
        }
        let of_channel = |channel| self.member.of_channel(channel).iter().map(|&index| by_index[index as usize]).sum();
        (0..self.channels).map(of_channel).collect()
    }

    /// For each channel, the elements of its slice, always in the same order.
    pub(super) fn vectors(&self, tensor: &[f32]) -> Vec<Vec<f32>> {
        let (inner, size) = (self.inner(), self.shape[self.axis]);
        let outer = tensor.len() / (inner * size);
        let of_channel = |channel| -> Vec<f32> {
            let indices = self.member.of_channel(channel).iter();
            indices
                .flat_map(|&index| (0..outer).map(move |row| (row * size + index as usize) * inner))
                .flat_map(|start| tensor[start..start + inner].iter().copied())
                .collect()
        };
        (0..self.channels).map(of_channel).collect()
    }

    /// Elements between two neighbours on the axis.
    fn inner(&self) -> usize {
        self.shape[self.axis + 1..].iter().product()
    }
}

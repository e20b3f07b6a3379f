//! Transposed convolutions, whose weight is `[in, out / groups, kernel…]`.

use super::{LayerKind, Macs, Operator, Shapes, operand, per_sample, result, sum_over_columns};
use crate::axes::{Axes, Dim, Reason};
use crate::graph::{Graph, Literal, Node, Size};

pub(super) struct TransposedConvolution;

impl Operator for TransposedConvolution {
    fn names(&self) -> &'static [&'static str] {
        &["aten::conv_transpose1d", "aten::conv_transpose2d", "aten::conv_transpose3d"]
    }

    fn axes(&self, node: &Node, graph: &Graph, axes: &mut Axes) -> Result<(), String> {
        let (input, weight, output) = (operand(node, "input")?, operand(node, "weight")?, result(node)?);
        let groups = node.int("groups").ok_or("the number of groups is not a constant")? as usize;
        let kernel = graph.value(weight).shape.clone();
        let (in_channels, out_per_group) = (kernel[0].fixed as usize, kernel[1].fixed as usize);
        let channel_dim = channel_dim(graph, node)?;
        let in_dims = axes.dims(input).to_vec();
        let weight_dims = axes.dims(weight).to_vec();

        for dim in in_dims[channel_dim + 1..].iter().chain(&weight_dims[2..]) {
            axes.freeze(dim, Reason::NOT_A_CHANNEL);
        }
        axes.unify(&in_dims[channel_dim], &weight_dims[0])?;
        let weight_in = axes.elements(&weight_dims[0], in_channels);
        let weight_out = axes.elements(&weight_dims[1], out_per_group);
        let in_per_group = in_channels / groups;
        let out_channels = groups * out_per_group;
        let out_elements: Vec<_> = if groups > 1 && in_per_group == 1 {
            // Depthwise: input channel c feeds the output channels of its group and nothing is summed over channels.
            axes.freeze(&weight_dims[1], Reason::NOT_A_CHANNEL);
            (0..out_channels).map(|channel| weight_in[channel / out_per_group]).collect()
        } else {
            // Every group loses the same positions, so that the groups stay equally wide.
            for (index, &element) in weight_in.iter().enumerate() {
                axes.unify_elements(weight_in[index % in_per_group], element);
            }
            sum_over_columns(node, graph, axes, weight, 0);
            (0..out_channels).map(|channel| weight_out[channel % out_per_group]).collect()
        };
        let channels = Dim::Channels(out_elements.into());
        if let Some(bias) = node.tensor("bias") {
            let bias_dim = axes.dims(bias)[0].clone();
            axes.unify(&channels, &bias_dim)?;
        }

        let mut out_dims = vec![Dim::Fixed(Reason::NOT_A_CHANNEL); graph.value(output).shape.len()];
        out_dims[..channel_dim].clone_from_slice(&in_dims[..channel_dim]);
        out_dims[channel_dim] = channels;
        axes.set(output, out_dims);
        Ok(())
    }

    /// Every input position meets the whole kernel.
    fn macs(&self, node: &Node, graph: &Graph) -> Vec<Macs> {
        let (Some(input), Some(weight)) = (node.tensor("input"), node.tensor("weight")) else { return Vec::new() };
        let kernel: u64 = per_sample(&graph.value(weight).shape[2..]);
        let Ok(channel_dim) = channel_dim(graph, node) else { return Vec::new() };
        let shape = &graph.value(input).shape;
        let positions = per_sample(&shape[..channel_dim]) * per_sample(&shape[channel_dim + 1..]);
        vec![Macs { coefficient: positions * kernel, dims: vec![(weight, 0), (weight, 1)] }]
    }

    fn channel_axis(&self, node: &Node, graph: &Graph, rank: usize) -> Option<usize> {
        channel_axis(node, graph, rank)
    }

    fn layer_kind(&self, _node: &Node) -> Option<LayerKind> {
        Some(LayerKind::Convolution)
    }

    fn rewrite(&self, node: &mut Node, shapes: &Shapes<'_>) {
        let (Some(weight), Some(groups)) = (node.tensor("weight"), node.int("groups")) else { return };
        let is_depthwise = shapes.before.value(weight).shape[0].fixed == groups;
        if groups > 1 && is_depthwise {
            node.set("groups", Literal::Int(Size::fixed(shapes.after(weight)[0].fixed)));
        }
    }
}

/// Where the channels are: after the batch, or first in an unbatched call.
pub(super) fn channel_dim(graph: &Graph, node: &Node) -> Result<usize, String> {
    let (input, weight) = (operand(node, "input")?, operand(node, "weight")?);
    let (rank, weight_rank) = (graph.value(input).shape.len(), graph.value(weight).shape.len());
    (rank + 1)
        .checked_sub(weight_rank)
        .filter(|&dim| dim <= 1 && weight_rank >= 3)
        .ok_or_else(|| format!("an input of rank {rank} meets a convolution weight of rank {weight_rank}"))
}

/// The same of a tensor of this rank: the channels come before the spatial dimensions, as many as the kernel has.
pub(super) fn channel_axis(node: &Node, graph: &Graph, rank: usize) -> Option<usize> {
    let kernel = graph.value(node.tensor("weight")?).shape.len().checked_sub(2)?;
    rank.checked_sub(kernel + 1)
}

#[cfg(test)]
mod tests {
    use crate::testing::Net;

    #[test]
    fn a_transposed_convolution_reads_by_axis_zero_and_writes_by_axis_one() {
        let mut net = Net::new(&[3, 4, 4]);
        net.conv("a", 6, 3, 1).conv_transpose("up", 5, 2, 1).conv("b", 2, 1, 1);
        let groups = net.groups();
        assert_eq!(groups[0].tensors(), ["a.weight:0", "a.bias:0", "up.weight:0"]);
        assert_eq!(groups[1].tensors(), ["up.weight:1", "up.bias:0", "b.weight:1"]);
        let cut = net.cut(&[vec![0, 5], vec![1, 2, 3]]);
        assert_eq!(cut.zeroed.0["up.weight"][&0], [1, 2, 3, 4]);
        assert_eq!(net.costs().macs, 16 * 9 * 3 * 6 + 16 * 4 * 6 * 5 + 64 * 5 * 2);
    }

    #[test]
    fn a_grouped_one_loses_the_same_places_of_every_group() {
        let mut net = Net::new(&[3, 4, 4]);
        net.conv("a", 6, 3, 1).conv_transpose("up", 4, 2, 2).conv("b", 2, 1, 1);
        let cut = net.cut(&[vec![0, 2], vec![1]]);
        assert_eq!(cut.kept.0["a.weight"][&0], [0, 2, 3, 5]);
        assert_eq!(cut.kept.0["up.weight"][&1], [1]);
        assert_eq!(cut.kept.0["b.weight"][&1], [1, 3]);
        assert_eq!(cut.graph.nodes()[1].int("groups"), Some(2));
    }

    #[test]
    fn a_depthwise_one_passes_its_channels_on() {
        let mut net = Net::new(&[3, 4, 4]);
        net.conv("a", 6, 3, 1).conv_transpose("up", 6, 2, 6).conv("b", 2, 1, 1);
        assert_eq!(net.groups()[0].tensors(), ["a.weight:0", "a.bias:0", "up.weight:0", "up.bias:0", "b.weight:1"]);
        let cut = net.cut(&[vec![1, 4]]);
        assert_eq!(cut.graph.nodes()[1].int("groups"), Some(2));
        assert!(!cut.zeroed.0.contains_key("up.weight"), "it sums over no channels");
    }
}

//! Convolutions: dense, depthwise, grouped; 1, 2 and 3 spatial dimensions.

use super::transposed::{TransposedConvolution, channel_axis, channel_dim};
use super::{LayerKind, Macs, Operator, Shapes, operand, per_sample, result, sum_over_columns};
use crate::axes::{Axes, Dim, Reason};
use crate::graph::{Graph, Literal, Node, Size};

pub(super) struct Convolution;

impl Operator for Convolution {
    fn names(&self) -> &'static [&'static str] {
        &[
            "aten::conv1d",
            "aten::conv2d",
            "aten::conv3d",
            "aten::convolution",
            "aten::_convolution",
            "aten::_convolution_mode",
        ]
    }

    fn axes(&self, node: &Node, graph: &Graph, axes: &mut Axes) -> Result<(), String> {
        if is_transposed(node) {
            return TransposedConvolution.axes(node, graph, axes);
        }
        let (input, weight, output) = (operand(node, "input")?, operand(node, "weight")?, result(node)?);
        let groups = node.int("groups").ok_or("the number of groups is not a constant")? as usize;
        let kernel = graph.value(weight).shape.clone();
        let (out_channels, in_per_group) = (kernel[0].fixed as usize, kernel[1].fixed as usize);
        let channel_dim = channel_dim(graph, node)?;
        let in_dims = axes.dims(input).to_vec();
        let weight_dims = axes.dims(weight).to_vec();

        for dim in &weight_dims[2..] {
            axes.freeze(dim, Reason::NOT_A_CHANNEL);
        }
        let weight_out = axes.elements(&weight_dims[0], out_channels);
        let in_channels = groups * in_per_group;
        if groups == 1 {
            axes.unify(&in_dims[channel_dim], &weight_dims[1])?;
            sum_over_columns(node, graph, axes, weight, 1);
        } else if in_per_group == 1 {
            // Depthwise: input channel c feeds the output channels c*m .. (c+1)*m and nothing is summed over channels.
            let multiplier = out_channels / groups;
            let input_elements = axes.elements(&in_dims[channel_dim], in_channels);
            for (index, &element) in weight_out.iter().enumerate() {
                axes.unify_elements(input_elements[index / multiplier], element);
            }
            axes.freeze(&weight_dims[1], Reason::NOT_A_CHANNEL);
        } else {
            // Grouped: every group loses the same positions, so that the groups stay equally wide.
            let input_elements = axes.elements(&in_dims[channel_dim], in_channels);
            let weight_in = axes.elements(&weight_dims[1], in_per_group);
            for (index, &element) in input_elements.iter().enumerate() {
                axes.unify_elements(element, weight_in[index % in_per_group]);
            }
            sum_over_columns(node, graph, axes, weight, 1);
            let out_per_group = out_channels / groups;
            for (index, &element) in weight_out.iter().enumerate() {
                axes.unify_elements(element, weight_out[index % out_per_group]);
            }
        }
        if let Some(bias) = node.tensor("bias") {
            let bias_dim = axes.dims(bias)[0].clone();
            axes.unify(&weight_dims[0], &bias_dim)?;
        }

        let mut out_dims = vec![Dim::Fixed(Reason::NOT_A_CHANNEL); graph.value(output).shape.len()];
        for (dim, out_dim) in in_dims.iter().zip(&mut out_dims).take(channel_dim) {
            *out_dim = dim.clone();
        }
        out_dims[channel_dim] = Dim::Channels(weight_out);
        for spatial in &in_dims[channel_dim + 1..] {
            axes.freeze(spatial, Reason::NOT_A_CHANNEL);
        }
        axes.set(output, out_dims);
        Ok(())
    }

    fn macs(&self, node: &Node, graph: &Graph) -> Vec<Macs> {
        if is_transposed(node) {
            return TransposedConvolution.macs(node, graph);
        }
        let Some(weight) = node.tensor("weight") else { return Vec::new() };
        let kernel: u64 = per_sample(&graph.value(weight).shape[2..]);
        let Ok(channel_dim) = channel_dim(graph, node) else { return Vec::new() };
        let out_shape = &graph.value(node.outputs[0]).shape;
        let positions = per_sample(&out_shape[..channel_dim]) * per_sample(&out_shape[channel_dim + 1..]);
        vec![Macs { coefficient: positions * kernel, dims: vec![(weight, 0), (weight, 1)] }]
    }

    fn channel_axis(&self, node: &Node, graph: &Graph, rank: usize) -> Option<usize> {
        channel_axis(node, graph, rank)
    }

    fn layer_kind(&self, _node: &Node) -> Option<LayerKind> {
        Some(LayerKind::Convolution)
    }

    fn rewrite(&self, node: &mut Node, shapes: &Shapes<'_>) {
        if is_transposed(node) {
            return TransposedConvolution.rewrite(node, shapes);
        }
        let (Some(input), Some(weight)) = (node.tensor("input"), node.tensor("weight")) else { return };
        let Ok(channel_dim) = channel_dim(shapes.before, node) else { return };
        let groups = shapes.after(input)[channel_dim].fixed / shapes.after(weight)[1].fixed;
        node.set("groups", Literal::Int(Size::fixed(groups)));
    }
}

/// `_convolution`, as traced models spell it, is both kinds.
fn is_transposed(node: &Node) -> bool {
    node.bool("transposed") == Some(true)
}

#[cfg(test)]
mod tests {
    use crate::testing::Net;

    #[test]
    fn a_convolution_couples_its_output_with_the_next_ones_input() {
        let mut net = Net::new(&[3, 8, 8]);
        net.conv("a", 6, 3, 1).conv("b", 4, 1, 1);
        let groups = net.groups();
        assert_eq!(groups.len(), 1, "the second convolution's output is the model's");
        assert_eq!(groups[0].tensors(), ["a.weight:0", "a.bias:0", "b.weight:1"]);
    }

    #[test]
    fn a_depthwise_convolution_passes_its_channels_on() {
        let mut net = Net::new(&[3, 8, 8]);
        net.conv("a", 6, 1, 1).conv("dw", 6, 3, 6).conv("b", 4, 1, 1);
        let groups = net.groups();
        assert_eq!(groups.len(), 1);
        assert_eq!(groups[0].tensors(), ["a.weight:0", "a.bias:0", "dw.weight:0", "dw.bias:0", "b.weight:1"]);
        let cut = net.cut(&[vec![0, 2, 5]]);
        assert_eq!(cut.graph.nodes()[1].int("groups"), Some(3), "groups follows the channels");
    }

    #[test]
    fn a_channel_multiplier_keeps_whole_blocks() {
        let mut net = Net::new(&[3, 8, 8]);
        net.conv("a", 4, 1, 1).conv("dw", 8, 3, 4).conv("b", 4, 1, 1);
        let cut = net.cut(&[vec![1, 3]]);
        assert_eq!(cut.kept.0["dw.weight"][&0], [2, 3, 6, 7]);
        assert_eq!(cut.kept.0["b.weight"][&1], [2, 3, 6, 7]);
    }

    #[test]
    fn a_convolution_of_one_channel_is_not_depthwise() {
        let mut net = Net::new(&[1, 8, 8]);
        net.conv("a", 6, 3, 1).conv("b", 4, 1, 1);
        assert_eq!(net.groups()[0].tensors(), ["a.weight:0", "a.bias:0", "b.weight:1"]);
    }

    #[test]
    fn a_grouped_convolution_loses_the_same_positions_in_every_group() {
        let mut net = Net::new(&[3, 8, 8]);
        net.conv("a", 8, 1, 1).conv("g", 8, 3, 2).conv("b", 4, 1, 1);
        let groups = net.groups();
        assert_eq!(groups.iter().map(|group| group.channels()).collect::<Vec<_>>(), [4, 4]);
        let cut = net.cut(&[vec![0, 3], vec![1, 2, 3]]);
        assert_eq!(cut.kept.0["a.weight"][&0], [0, 3, 4, 7]);
        assert_eq!(cut.kept.0["g.weight"][&1], [0, 3]);
        assert_eq!(cut.kept.0["g.weight"][&0], [1, 2, 3, 5, 6, 7]);
        assert_eq!(cut.graph.nodes()[1].int("groups"), Some(2));
    }

    #[test]
    fn macs_are_output_positions_times_kernel_times_channels() {
        let mut net = Net::new(&[3, 8, 8]);
        net.conv("a", 6, 3, 1).conv("dw", 6, 3, 6);
        assert_eq!(net.costs().macs, 64 * 9 * 3 * 6 + 64 * 9 * 6);
    }
}

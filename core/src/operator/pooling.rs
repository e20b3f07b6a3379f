//! Pooling, resizing and sampling: batch and channels pass, spatial dimensions are nobody's channels.

use super::{LayerKind, Operator, no_rule, operand};
use crate::axes::{Axes, Cause, Dim, Reason};
use crate::graph::{Graph, Node, ValueId};

/// Pooling over windows, and resizing.
pub(super) struct Pooling;

/// How many trailing dimensions are spatial.
fn spatial_dims(op: &str) -> usize {
    if op.contains("1d") {
        1
    } else if op.contains("3d") {
        3
    } else {
        2
    }
}

impl Operator for Pooling {
    fn names(&self) -> &'static [&'static str] {
        &[
            "aten::max_pool1d",
            "aten::max_pool2d",
            "aten::max_pool3d",
            "aten::max_pool1d_with_indices",
            "aten::max_pool2d_with_indices",
            "aten::max_pool3d_with_indices",
            "aten::avg_pool1d",
            "aten::avg_pool2d",
            "aten::avg_pool3d",
            "aten::adaptive_avg_pool1d",
            "aten::adaptive_avg_pool2d",
            "aten::adaptive_avg_pool3d",
            "aten::_adaptive_avg_pool2d",
            "aten::_adaptive_avg_pool3d",
            "aten::adaptive_max_pool1d",
            "aten::adaptive_max_pool2d",
            "aten::adaptive_max_pool3d",
            "aten::upsample_nearest1d",
            "aten::upsample_nearest2d",
            "aten::upsample_nearest3d",
            "aten::_upsample_nearest_exact1d",
            "aten::_upsample_nearest_exact2d",
            "aten::_upsample_nearest_exact3d",
            "aten::upsample_linear1d",
            "aten::upsample_bilinear2d",
            "aten::upsample_trilinear3d",
            "aten::upsample_bicubic2d",
            "aten::_upsample_bilinear2d_aa",
            "aten::_upsample_bicubic2d_aa",
        ]
    }

    fn axes(&self, node: &Node, _graph: &Graph, axes: &mut Axes) -> Result<(), String> {
        // The overloads that take a scale call their tensor `input`.
        let input = operand(node, "self").or_else(|_| operand(node, "input"))?;
        pass_channels(node, input, spatial_dims(&node.op), axes)
    }

    fn channel_axis(&self, node: &Node, _graph: &Graph, rank: usize) -> Option<usize> {
        rank.checked_sub(spatial_dims(&node.op) + 1)
    }

    /// Resizing is none.
    fn layer_kind(&self, node: &Node) -> Option<LayerKind> {
        node.op.contains("pool").then_some(LayerKind::Pooling)
    }
}

/// Poolings that are known as layers, but for which there is no channel rule.
pub(super) struct PoolingWithoutRule;

impl Operator for PoolingWithoutRule {
    fn names(&self) -> &'static [&'static str] {
        &["aten::fractional_max_pool2d", "aten::fractional_max_pool3d", "aten::max_unpool2d", "aten::max_unpool3d"]
    }

    fn axes(&self, node: &Node, _graph: &Graph, _axes: &mut Axes) -> Result<(), String> {
        Err(no_rule(node))
    }

    fn channel_axis(&self, node: &Node, _graph: &Graph, rank: usize) -> Option<usize> {
        rank.checked_sub(spatial_dims(&node.op) + 1)
    }

    fn layer_kind(&self, _node: &Node) -> Option<LayerKind> {
        Some(LayerKind::Pooling)
    }
}

/// `grid_sample`: the image's channels pass, the coordinates are two or three by definition.
pub(super) struct GridSample;

impl Operator for GridSample {
    fn names(&self) -> &'static [&'static str] {
        &["aten::grid_sampler", "aten::grid_sampler_2d"]
    }

    fn axes(&self, node: &Node, _graph: &Graph, axes: &mut Axes) -> Result<(), String> {
        let (input, grid) = (operand(node, "input")?, operand(node, "grid")?);
        let reason = axes.reason(Cause::by(node, "reads its channels as coordinates"));
        axes.freeze_value(grid, reason);
        let spatial = axes.dims(input).len().saturating_sub(2);
        pass_channels(node, input, spatial, axes)
    }
}

/// Every output has the leading dimensions of the input and `spatial` dimensions of its own.
fn pass_channels(node: &Node, input: ValueId, spatial: usize, axes: &mut Axes) -> Result<(), String> {
    let mut dims = axes.dims(input).to_vec();
    let passed = dims.len().checked_sub(spatial).ok_or("the input has too few dimensions")?;
    for dim in &mut dims[passed..] {
        axes.freeze(dim, Reason::NOT_A_CHANNEL);
        *dim = Dim::Fixed(Reason::NOT_A_CHANNEL);
    }
    for &output in &node.outputs {
        axes.set(output, dims.clone());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::graph::{Literal, Size};
    use crate::testing::Net;

    #[test]
    fn pooling_and_resizing_hand_the_channels_on() {
        for op in [
            "aten::max_pool2d",
            "aten::avg_pool2d",
            "aten::adaptive_avg_pool2d",
            "aten::upsample_nearest2d",
            "aten::upsample_bilinear2d",
        ] {
            let mut net = Net::new(&[3, 8, 8]);
            net.conv("a", 6, 3, 1).pool(op, 4).conv("b", 4, 1, 1);
            assert_eq!(net.groups()[0].tensors(), ["a.weight:0", "a.bias:0", "b.weight:1"], "{op}");
        }
    }

    #[test]
    fn the_coordinates_of_a_sampling_are_not_cut() {
        let mut net = Net::new(&[3, 8, 8]);
        let input = net.here();
        net.conv("where", 2, 3, 1).apply("aten::permute", &[("dims", crate::testing::ints(&[0, 2, 3, 1]))], &[8, 8, 2]);
        let grid = Literal::Tensor(net.here());
        net.at(input).conv("a", 6, 3, 1);
        let image = Literal::Tensor(net.here());
        let shape = [Size::BATCH, Size::fixed(6), Size::fixed(8), Size::fixed(8)];
        net.node("", "aten::grid_sampler", &[("input", image), ("grid", grid)], shape.to_vec()).conv("b", 4, 1, 1);
        assert_eq!(net.groups().len(), 1);
        assert_eq!(net.groups()[0].tensors(), ["a.weight:0", "a.bias:0", "b.weight:1"]);
        assert!(net.reasons("where.weight", 0).contains("coordinates"));
    }
}

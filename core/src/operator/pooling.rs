//! Pooling and resizing: batch and channels pass, spatial dimensions are nobody's channels.

use super::{Operator, operand, result};
use crate::graph::{Graph, Node};
use crate::group::{Axes, Dim, Reason};

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
            "aten::avg_pool1d",
            "aten::avg_pool2d",
            "aten::avg_pool3d",
            "aten::adaptive_avg_pool1d",
            "aten::adaptive_avg_pool2d",
            "aten::adaptive_avg_pool3d",
        ]
    }

    fn axes(&self, node: &Node, graph: &Graph, axes: &mut Axes) -> Result<(), String> {
        let (input, output) = (operand(node, "self")?, result(node)?);
        let rank = graph.value(output).shape.len();
        let passed = rank.checked_sub(spatial_dims(&node.op)).ok_or("the input has too few dimensions")?;
        let mut dims = axes.dims(input).to_vec();
        for dim in &mut dims[passed..] {
            axes.freeze(dim, Reason::NOT_A_CHANNEL);
            *dim = Dim::Fixed(Reason::NOT_A_CHANNEL);
        }
        axes.set(output, dims);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Net;

    #[test]
    fn pooling_hands_the_channels_on() {
        for op in ["aten::max_pool2d", "aten::avg_pool2d", "aten::adaptive_avg_pool2d"] {
            let mut net = Net::new(&[3, 8, 8]);
            net.conv("a", 6, 3, 1).pool(op, 4).conv("b", 4, 1, 1);
            assert_eq!(net.groups()[0].tensors(), ["a.weight:0", "a.bias:0", "b.weight:1"], "{op}");
        }
    }
}

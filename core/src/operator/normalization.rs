//! Batch and instance normalisation: every channel for itself. Those that average over channels are in [`super::statistics`].

use super::{Operator, operand, result};
use crate::graph::{Graph, Node};
use crate::group::Axes;

pub(super) struct BatchNorm;

impl Operator for BatchNorm {
    fn names(&self) -> &'static [&'static str] {
        &["aten::batch_norm", "aten::instance_norm"]
    }

    fn axes(&self, node: &Node, _graph: &Graph, axes: &mut Axes) -> Result<(), String> {
        let (input, output) = (operand(node, "input")?, result(node)?);
        let dims = axes.dims(input).to_vec();
        let channels = dims.get(1).ok_or_else(|| format!("{} reads a tensor without a channel dimension", node.op))?;
        for name in ["weight", "bias", "running_mean", "running_var"] {
            if let Some(tensor) = node.tensor(name) {
                let dim = axes.dims(tensor)[0].clone();
                axes.unify(channels, &dim)?;
            }
        }
        axes.set(output, dims);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Net;

    #[test]
    fn batch_norm_shrinks_with_its_input() {
        let mut net = Net::new(&[3, 8, 8]);
        net.conv("a", 6, 3, 1).batch_norm("bn").conv("b", 4, 1, 1);
        assert_eq!(
            net.groups()[0].tensors(),
            [
                "a.weight:0",
                "a.bias:0",
                "bn.weight:0",
                "bn.bias:0",
                "bn.running_mean:0",
                "bn.running_var:0",
                "b.weight:1"
            ]
        );
    }
}

//! Activations with more than one number per output: `prelu` with a slope for every channel, `glu` with a gate for every one.

use super::{Operator, dimension, fixed_size, operand, result};
use crate::axes::{Axes, Dim};
use crate::graph::{Graph, Node};

/// One slope for all channels, or one for each.
pub(super) struct Prelu;

impl Operator for Prelu {
    fn names(&self) -> &'static [&'static str] {
        &["aten::prelu"]
    }

    fn axes(&self, node: &Node, graph: &Graph, axes: &mut Axes) -> Result<(), String> {
        let (input, weight, output) = (operand(node, "self")?, operand(node, "weight")?, result(node)?);
        let dims = axes.dims(input).to_vec();
        let slopes: i64 = graph.value(weight).shape.iter().map(|size| size.fixed).product();
        if slopes != 1 {
            let channels = dims.get(1).ok_or("prelu reads a tensor without a channel dimension")?;
            let slopes = axes.dims(weight)[0].clone();
            axes.unify(channels, &slopes)?;
        }
        axes.set(output, dims);
        Ok(())
    }
}

/// The first half of a dimension times the sigmoid of the second.
pub(super) struct Glu;

impl Operator for Glu {
    fn names(&self) -> &'static [&'static str] {
        &["aten::glu"]
    }

    fn axes(&self, node: &Node, graph: &Graph, axes: &mut Axes) -> Result<(), String> {
        let (input, output) = (operand(node, "self")?, result(node)?);
        let mut dims = axes.dims(input).to_vec();
        let along = dimension(node.int("dim").unwrap_or(-1), dims.len())?;
        if let Dim::Channels(elements) = &dims[along] {
            fixed_size(graph.value(input).shape[along])?;
            let (values, gates) = elements.split_at(elements.len() / 2);
            for (&value, &gate) in values.iter().zip(gates) {
                axes.unify_elements(value, gate);
            }
            dims[along] = Dim::Channels(values.into());
        }
        axes.set(output, dims);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Net, int};

    #[test]
    fn slopes_are_cut_with_their_channels_and_a_single_one_is_not() {
        for (slopes, tensors) in [
            (6, vec!["a.weight:0", "a.bias:0", "slope:0", "b.weight:1"]),
            (1, vec!["a.weight:0", "a.bias:0", "b.weight:1"]),
        ] {
            let mut net = Net::new(&[3, 4, 4]);
            net.conv("a", 6, 3, 1);
            let weight = net.weight("slope", &[slopes]);
            net.apply("aten::prelu", &[("weight", weight)], &[6, 4, 4]).conv("b", 4, 1, 1);
            assert_eq!(net.groups()[0].tensors(), tensors);
        }
    }

    #[test]
    fn a_gated_channel_goes_with_its_gate() {
        let mut net = Net::new(&[3, 4, 4]);
        net.conv("a", 6, 3, 1).apply("aten::glu", &[("dim", int(1))], &[3, 4, 4]).conv("b", 4, 1, 1);
        let cut = net.cut(&[vec![0, 2]]);
        assert_eq!(cut.kept.0["a.weight"][&0], [0, 2, 3, 5]);
        assert_eq!(cut.kept.0["b.weight"][&1], [0, 2]);
    }
}

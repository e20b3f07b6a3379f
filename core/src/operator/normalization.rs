//! Batch and instance normalisation: every channel for itself. Those that average over channels are in [`super::statistics`].
//!
//! With running statistics they average over nothing. Without, they do over all that is not a channel, and that can be cut
//! where the tensor is no image: standardised weights are a `batch_norm` of a weight `[1, out, in · kernel]`.

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

    fn statistics_over(&self, node: &Node, graph: &Graph) -> Vec<usize> {
        let Some(input) = node.tensor("input") else { return Vec::new() };
        let rank = graph.value(input).shape.len();
        let per_sample = node.arg("use_input_stats").is_some();
        let flag = if per_sample { "use_input_stats" } else { "training" };
        if node.tensor("running_mean").is_some() && node.bool(flag) == Some(false) {
            return Vec::new();
        }
        (0..rank).filter(|&dim| dim > 1 || (dim == 0 && !per_sample)).collect()
    }

    fn weighted(&self, _node: &Node, _graph: &Graph) -> Vec<usize> {
        vec![1]
    }
}

#[cfg(test)]
mod tests {
    use crate::graph::{Literal, Size};
    use crate::surgery::Constant;
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
    /// Two convolutions with `[6, 3, 3, 3]` and `[4, 6, 3, 3]`, the second's weight standardised by a gain for each filter.
    fn standardised() -> Net {
        let mut net = Net::new(&[3, 8, 8]);
        net.conv("a", 6, 3, 1);
        let a = net.here();
        let weight = net.weight("b.weight", &[4, 6, 3, 3]);
        let Literal::Tensor(parameter) = weight else { unreachable!("a weight is a tensor") };
        let gain = net.weight("b.gain", &[4]);
        net.at(parameter).view(&[1, 4, 54].map(Size::fixed));
        let none = || Literal::None;
        let args = [
            ("input", Literal::Tensor(net.here())),
            ("weight", gain),
            ("bias", none()),
            ("running_mean", none()),
            ("running_var", none()),
            ("training", Literal::Bool(true)),
        ];
        net.node("", "aten::batch_norm", &args, [1, 4, 54].map(Size::fixed).to_vec());
        let flat = [("self", Literal::Tensor(net.here())), ("other", weight)];
        net.node("", "aten::reshape_as", &flat, [4, 6, 3, 3].map(Size::fixed).to_vec());
        let args = [
            ("input", Literal::Tensor(a)),
            ("weight", Literal::Tensor(net.here())),
            ("groups", crate::testing::int(1)),
        ];
        net.node("b", "aten::conv2d", &args, [&[Size::BATCH][..], &[4, 8, 8].map(Size::fixed)].concat());
        net.conv("c", 2, 1, 1);
        net
    }

    #[test]
    fn a_standardised_weight_is_cut_like_a_plain_one() {
        let net = standardised();
        let groups: Vec<Vec<String>> = net.groups().iter().map(|group| group.tensors()).collect();
        assert_eq!(
            groups,
            [vec!["a.weight:0", "a.bias:0", "b.weight:1"], vec!["b.weight:0", "b.gain:0", "c.weight:1"]]
        );
        let cut = net.cut(&[vec![0, 4], vec![1, 2, 3]]);
        assert_eq!(cut.graph.nodes()[1].ints("size"), Some(&[1, 3, 18].map(Size::fixed)[..]));
        assert_eq!(cut.graph.nodes()[3].op, "aten::reshape_as", "the weight is cut as the result is");
        assert_eq!(net.costs().macs, 64 * 9 * (3 * 6 + 6 * 4) + 64 * 4 * 2);
    }

    #[test]
    fn the_reference_standardises_over_the_remaining_columns() {
        let reference = standardised().cut(&[vec![0, 4], vec![1, 2, 3]]).reference.unwrap();
        let indices: Vec<i64> = (0..9).chain(36..45).collect();
        assert_eq!(reference.constants[0], Constant::Indices(indices), "of the input's columns only, not of the gain");
        let mask = Constant::Mask { shape: vec![6, 1, 1], indices: vec![1, 2, 3, 5] };
        assert_eq!(reference.constants.last(), Some(&mask), "what is computed of zeros need not be zero");
        assert_eq!(reference.constants.len(), 3, "a selection, the return to the old places, the mask");
    }

    #[test]
    fn a_normalisation_with_running_statistics_averages_over_nothing() {
        let mut net = Net::new(&[5, 12]);
        net.linear("a", 6);
        let input = Literal::Tensor(net.here());
        let [mean, var] = ["mean", "var"].map(|name| net.weight(name, &[5]));
        let args = [("input", input), ("running_mean", mean), ("running_var", var), ("training", Literal::Bool(false))];
        let shape = net.graph().value(net.here()).shape.clone();
        net.node("norm", "aten::batch_norm", &args, shape).linear("b", 4);
        assert_eq!(net.groups()[0].tensors(), ["a.weight:0", "a.bias:0", "b.weight:1"]);
        assert!(net.cut(&[vec![1, 2]]).reference.is_none());
    }
}

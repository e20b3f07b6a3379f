//! Matrix products with a weight: `linear`, and `addmm` as traced models spell it.

use super::layout::parameter_behind;
use super::{LayerKind, Macs, Operator, operand, per_sample, result, sum_over_columns};
use crate::axes::Axes;
use crate::graph::{Graph, Node, ValueId};

/// `x W^T + b`, with `W` of `[out, in]`.
pub(super) struct Linear;

impl Operator for Linear {
    fn names(&self) -> &'static [&'static str] {
        &["aten::linear"]
    }

    fn axes(&self, node: &Node, graph: &Graph, axes: &mut Axes) -> Result<(), String> {
        let (input, weight, output) = (operand(node, "input")?, operand(node, "weight")?, result(node)?);
        let weight_dims = axes.dims(weight).to_vec();
        let [weight_out, weight_in] = &weight_dims[..] else {
            return Err(format!("a linear weight of rank {} has no channel rule", weight_dims.len()));
        };
        let mut dims = axes.dims(input).to_vec();
        let features = dims.last().ok_or("a linear layer reads a scalar")?.clone();
        axes.unify(&features, weight_in)?;
        sum_over_columns(node, graph, axes, weight, 1);
        if let Some(bias) = node.tensor("bias") {
            let bias_dim = axes.dims(bias)[0].clone();
            axes.unify(weight_out, &bias_dim)?;
        }
        *dims.last_mut().expect("the rank was checked above") = weight_out.clone();
        axes.set(output, dims);
        Ok(())
    }

    fn macs(&self, node: &Node, graph: &Graph) -> Vec<Macs> {
        let Some(weight) = node.tensor("weight") else { return Vec::new() };
        let out_shape = &graph.value(node.outputs[0]).shape;
        let rows = per_sample(&out_shape[..out_shape.len() - 1]);
        vec![Macs { coefficient: rows, dims: vec![(weight, 0), (weight, 1)] }]
    }

    fn channel_axis(&self, _node: &Node, _graph: &Graph, rank: usize) -> Option<usize> {
        rank.checked_sub(1)
    }

    fn layer_kind(&self, _node: &Node) -> Option<LayerKind> {
        Some(LayerKind::Linear)
    }
}

/// `bias + mat1 mat2`, with `mat2` of `[in, out]`, usually a transposed weight.
pub(super) struct Addmm;

impl Operator for Addmm {
    fn names(&self) -> &'static [&'static str] {
        &["aten::addmm"]
    }

    fn axes(&self, node: &Node, graph: &Graph, axes: &mut Axes) -> Result<(), String> {
        let (bias, rows, matrix) = (operand(node, "self")?, operand(node, "mat1")?, operand(node, "mat2")?);
        let output = result(node)?;
        let (row_dims, matrix_dims) = (axes.dims(rows).to_vec(), axes.dims(matrix).to_vec());
        if parameter_behind(graph, matrix).is_none() {
            return Err("both factors depend on the input".to_owned());
        }
        axes.unify(&row_dims[1], &matrix_dims[0])?;
        axes.contract(&matrix_dims[0]);
        let bias_dims = axes.dims(bias).to_vec();
        if let Some(features) = bias_dims.last()
            && graph.value(bias).shape.last() == graph.value(output).shape.last()
        {
            axes.unify(features, &matrix_dims[1])?;
        }
        axes.set(output, vec![row_dims[0].clone(), matrix_dims[1].clone()]);
        Ok(())
    }

    fn macs(&self, node: &Node, graph: &Graph) -> Vec<Macs> {
        let Some(matrix) = node.tensor("mat2") else { return Vec::new() };
        let rows = per_sample(&graph.value(node.outputs[0]).shape[..1]);
        vec![Macs { coefficient: rows, dims: vec![(matrix, 0), (matrix, 1)] }]
    }

    fn input(&self, node: &Node) -> Option<ValueId> {
        node.tensor("mat1")
    }

    fn weight(&self, node: &Node) -> Option<ValueId> {
        node.tensor("mat2")
    }

    fn channel_axis(&self, _node: &Node, _graph: &Graph, rank: usize) -> Option<usize> {
        rank.checked_sub(1)
    }

    fn layer_kind(&self, _node: &Node) -> Option<LayerKind> {
        Some(LayerKind::Linear)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Net;

    #[test]
    fn a_hidden_layer_couples_rows_of_one_weight_with_columns_of_the_next() {
        let mut net = Net::new(&[12]);
        net.linear("a", 6).relu().linear("b", 4);
        assert_eq!(net.groups().len(), 1);
        assert_eq!(net.groups()[0].tensors(), ["a.weight:0", "a.bias:0", "b.weight:1"]);
        assert_eq!(net.costs().macs, 12 * 6 + 6 * 4);
    }

    #[test]
    fn addmm_with_a_transposed_weight_is_a_linear_layer() {
        let mut net = Net::new(&[12]);
        net.linear("a", 6).relu().addmm("b", 4);
        assert_eq!(net.groups()[0].tensors(), ["a.weight:0", "a.bias:0", "b.weight:1"]);
        let cut = net.cut(&[vec![1, 4]]);
        assert_eq!(cut.zeroed.0["b.weight"][&1], [0, 2, 3, 5], "the oracle zeroes the removed input columns");
        assert_eq!(net.costs().macs, 12 * 6 + 6 * 4);
    }
}

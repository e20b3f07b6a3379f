//! The original as the oracle runs it: operands of a sum over a removed index are read as zero there.
//!
//! Where a weight is summed over, its columns are zeroed instead ([`super::Cut::zeroed`]); this is for the sums over two
//! activations, `q kᵀ` above all, which no weight of their own can silence.

use super::Mask;
use crate::graph::{Argument, DType, Graph, GraphFile, Literal, Node, Parameter, ParameterKind, Size, Value, ValueId};

/// A graph that reads masks besides the original's parameters.
#[derive(Debug, Clone)]
pub struct Reference {
    pub graph: Graph,
    /// Shape and true indices of each mask, in the order in which they follow the original's parameters. All sizes but one are 1.
    pub masks: Vec<(Vec<i64>, Vec<u32>)>,
}

/// Puts a `masked_fill` before every node that must read zeros.
pub fn reference(graph: &Graph, masked: &[Mask]) -> Reference {
    let mut file = graph.file().clone();
    let mut masks = Vec::with_capacity(masked.len());
    let mut nodes = Vec::with_capacity(file.nodes.len() + masked.len());
    for (index, mut node) in std::mem::take(&mut file.nodes).into_iter().enumerate() {
        let mut replaced: Vec<(ValueId, ValueId)> = Vec::new();
        for Mask { operand, axis, indices, .. } in masked.iter().filter(|mask| mask.node == index) {
            let read = replaced.iter().rev().find(|(from, _)| from == operand).map_or(*operand, |&(_, to)| to);
            let shape = &graph.value(*operand).shape;
            let mut mask_shape = vec![Size::fixed(1); shape.len() - axis];
            mask_shape[0] = shape[*axis];
            let number = masks.len();
            masks.push((mask_shape.iter().map(|size| size.fixed).collect(), indices.clone()));
            let mask = value(&mut file, mask_shape, DType::Bool);
            file.parameters.push(Parameter {
                name: format!("mask.{number}"),
                kind: ParameterKind::Constant,
                value: mask,
                requires_grad: false,
                tied_to: None,
            });
            let filled = value(&mut file, shape.clone(), graph.value(*operand).dtype);
            nodes.push(masked_fill(number, read, mask, filled));
            redirect(&mut node, read, filled);
            replaced.push((*operand, filled));
        }
        nodes.push(node);
    }
    file.nodes = nodes;
    let graph = Graph::new(file).expect("masks are produced before the nodes that read them");
    Reference { graph, masks }
}

fn value(file: &mut GraphFile, shape: Vec<Size>, dtype: DType) -> ValueId {
    file.values.push(Value { shape, dtype });
    ValueId(file.values.len() as u32 - 1)
}

fn masked_fill(number: usize, from: ValueId, mask: ValueId, to: ValueId) -> Node {
    let argument = |name: &str, value| Argument { name: name.to_owned(), keyword: false, value };
    Node {
        name: format!("mask_{number}"),
        op: "aten::masked_fill".to_owned(),
        overload: "Scalar".to_owned(),
        args: vec![
            argument("self", Literal::Tensor(from)),
            argument("mask", Literal::Tensor(mask)),
            argument("value", Literal::Float(0.0)),
        ],
        outputs: vec![to],
        list: false,
    }
}

/// Lets the first argument that reads a value read another: one factor of a product is enough.
fn redirect(node: &mut Node, from: ValueId, to: ValueId) {
    for arg in &mut node.args {
        let read = match &mut arg.value {
            Literal::Tensor(value) if *value == from => Some(value),
            Literal::Tensors(values) => values.iter_mut().flatten().find(|value| **value == from),
            _ => None,
        };
        if let Some(value) = read {
            *value = to;
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::graph::Size;
    use crate::testing::Net;

    #[test]
    fn only_the_product_that_sums_over_removed_indices_reads_zeros() {
        let mut net = Net::new(&[7, 12]);
        net.attention("attention", 2, 6);
        let graph = net.graph();
        let keep = net.groups().iter().map(|group| (1..group.channels() as u32).collect()).collect::<Vec<_>>();
        let cut = net.cut(&keep);
        let reference = super::reference(&graph, &cut.masked);
        assert_eq!(reference.graph.nodes().len(), graph.nodes().len() + 1);
        assert_eq!(reference.masks, [(vec![6], vec![0])]);
        let attention = graph.nodes().iter().position(|node| node.op.contains("attention")).unwrap();
        let (mask, masked) = (&reference.graph.nodes()[attention], &reference.graph.nodes()[attention + 1]);
        assert_eq!(masked.tensor("query"), Some(mask.outputs[0]));
        assert_eq!(reference.graph.value(mask.outputs[0]).shape.last(), Some(&Size::fixed(6)));
    }
}

//! What the oracle compares with where zeroed columns are not enough: the original, in which some nodes see what remains.
//!
//! Where a weight is summed over, its columns are zeroed instead ([`super::Cut::zeroed`]). Two kinds of nodes need more.
//!
//! - A sum over two activations, `q kᵀ` above all, or over a weight that is computed, which no parameter of its own can silence:
//!   one of its operands is read as zero at the removed indices (`masked_fill` before it).
//! - A normalisation over channels, which averages over those that are left: it runs as in the cut network, on its
//!   remaining indices (`index_select` before it), and its results go back to their old places, with zeros at the
//!   removed ones.
//!
//! Everything else stays the original's, so that the comparison still proves the whole surgery.

use crate::axes::Contraction;
use crate::graph::{
    Argument, DType, Graph, GraphFile, Literal, Node, Parameter, ParameterKind, Producer, Size, Value, ValueId,
};
use crate::group::Grouping;
use crate::operator::{self, Shapes};

/// The original network, in which some nodes see the remaining indices only.
#[derive(Debug, Clone)]
pub struct Reference {
    /// Its last parameters, as many as there are `constants`, are tensors that the original does not have.
    pub graph: Graph,
    /// The tensors that only the reference reads, in the order of its last parameters.
    pub constants: Vec<Constant>,
}

/// A tensor that only the reference reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Constant {
    /// A vector of integers.
    Indices(Vec<i64>),
    /// True at these indices of the first dimension; the sizes of the others are 1.
    Mask {
        /// Sizes of all dimensions.
        shape: Vec<i64>,
        /// Indices of the first dimension, ascending.
        indices: Vec<u32>,
    },
}

impl Reference {
    /// `None` when zeroed columns are enough: then the original is its own reference.
    pub(super) fn of(shapes: &Shapes<'_>, grouping: &Grouping) -> Option<Self> {
        let mut builder = Builder { shapes, file: shapes.before.file().clone(), constants: Vec::new() };
        let masks = masks(shapes, grouping);
        for (index, node) in std::mem::take(&mut builder.file.nodes).into_iter().enumerate() {
            let over = cut_statistics(&node, shapes);
            if over.is_empty() {
                let node = builder.mask(node, masks.iter().filter(|mask| mask.node == index));
                builder.file.nodes.push(node);
            } else {
                builder.restrict(&node, &over);
            }
        }
        let Builder { file, constants, .. } = builder;
        let graph = (!constants.is_empty()).then(|| Graph::new(file))?;
        Some(Self { graph: graph.expect("the nodes that were put in are in order"), constants })
    }
}

/// Indices of an operand that one node must read as zero.
struct Mask {
    /// The node's index.
    node: usize,
    operand: ValueId,
    axis: usize,
    indices: Vec<u32>,
}

/// The removed indices of every sum over two activations.
fn masks(shapes: &Shapes<'_>, grouping: &Grouping) -> Vec<Mask> {
    let mut masks = Vec::new();
    for &Contraction { result, operand, axis } in grouping.axes().contractions() {
        let (Some(kept), Producer::Node { node, .. }) =
            (shapes.remaining.indices(operand, axis), shapes.before.producer(result))
        else {
            continue;
        };
        let size = shapes.before.value(operand).shape[axis].fixed as u32;
        let indices: Vec<u32> = (0..size).filter(|index| kept.binary_search(index).is_err()).collect();
        if !indices.is_empty() {
            masks.push(Mask { node, operand, axis, indices });
        }
    }
    masks
}

/// The cut dimensions over which a node averages.
fn cut_statistics(node: &Node, shapes: &Shapes<'_>) -> Vec<usize> {
    let Some(operator) = operator::of(node) else { return Vec::new() };
    let Some(input) = operator.input(node) else { return Vec::new() };
    let over = operator.averaged_dims(node, shapes.before);
    over.into_iter().filter(|&dim| shapes.is_cut(input, dim)).collect()
}

struct Builder<'a> {
    shapes: &'a Shapes<'a>,
    file: GraphFile,
    constants: Vec<Constant>,
}

impl Builder<'_> {
    /// Lets a node read zeros at masked indices.
    fn mask<'m>(&mut self, mut node: Node, masks: impl Iterator<Item = &'m Mask>) -> Node {
        let mut replaced: Vec<(ValueId, ValueId)> = Vec::new();
        for Mask { operand, axis, indices, .. } in masks {
            let read = replaced.iter().rev().find(|(from, _)| from == operand).map_or(*operand, |&(_, to)| to);
            let Value { shape, .. } = self.shapes.before.value(*operand).clone();
            let mut mask_shape = vec![1; shape.len() - axis];
            mask_shape[0] = shape[*axis].fixed;
            let mask = self.constant(Constant::Mask { shape: mask_shape, indices: indices.clone() });
            let arguments =
                [("self", Literal::Tensor(read)), ("mask", Literal::Tensor(mask)), ("value", Literal::Float(0.0))];
            let filled = self.call("aten::masked_fill", "Scalar", &arguments, shape);
            redirect(&mut node, read, filled);
            replaced.push((*operand, filled));
        }
        node
    }

    /// Appends a node as the cut network has it, between a selection of its operands and the return to their places.
    fn restrict(&mut self, node: &Node, over: &[usize]) {
        let operator = operator::of(node).expect("a node without an operator averages over nothing");
        let mut restricted = node.clone();
        operator.rewrite(&mut restricted, self.shapes);
        let (averaged, weighted) = (operator.input(node), operator.weight_dims(node, self.shapes.before));
        for argument in &mut restricted.args {
            let Literal::Tensor(value) = argument.value else { continue };
            // What is not averaged over stays the original's.
            let dims = if Some(value) == averaged { over.to_vec() } else { self.cut_of(value, &weighted, over) };
            let selected =
                dims.into_iter().fold(value, |selected, dim| self.select(selected, dim, self.kept(value, dim)));
            argument.value = Literal::Tensor(selected);
        }
        if !operator.keeps_shape() {
            self.file.nodes.push(restricted);
            return;
        }
        let output = node.outputs[0];
        let mut shape = self.shapes.before.value(output).shape.clone();
        for &dim in over {
            shape[dim] = self.shapes.after(output)[dim];
        }
        let mut placed = self.value(shape, DType::Float32);
        restricted.outputs = vec![placed];
        self.file.nodes.push(restricted);
        for &dim in over {
            placed = self.put_back(placed, output, dim);
        }
        let last = self.file.nodes.last_mut().expect("a node was appended above");
        last.outputs = vec![output];
        // The value that the output's own takes the place of is the last one made, and nothing reads it.
        self.file.values.pop();
    }

    /// The dimensions of a weight that are cut and whose indices are averaged over.
    fn cut_of(&self, value: ValueId, weighted: &[usize], over: &[usize]) -> Vec<usize> {
        let is_over = |&dim: &usize| weighted.get(dim).is_some_and(|of_input| over.contains(of_input));
        (0..self.shapes.after(value).len()).filter(|&dim| self.shapes.is_cut(value, dim)).filter(is_over).collect()
    }

    fn kept(&self, value: ValueId, dim: usize) -> Vec<i64> {
        let indices = self.shapes.remaining.indices(value, dim).expect("a dimension that is cut can be");
        indices.into_iter().map(i64::from).collect()
    }

    fn value(&mut self, shape: Vec<Size>, dtype: DType) -> ValueId {
        self.file.values.push(Value { shape, dtype, max: None });
        ValueId(self.file.values.len() as u32 - 1)
    }

    /// A tensor of the reference's own, as a parameter.
    fn constant(&mut self, constant: Constant) -> ValueId {
        let value = match &constant {
            Constant::Indices(indices) => self.value(vec![Size::fixed(indices.len() as i64)], DType::Int64),
            Constant::Mask { shape, .. } => {
                self.value(shape.iter().map(|&size| Size::fixed(size)).collect(), DType::Bool)
            }
        };
        let name = format!("reference.constant.{}", self.constants.len());
        let kind = ParameterKind::Constant;
        self.file.parameters.push(Parameter { name, kind, value, requires_grad: false, tied_to: None, numbers: None });
        self.constants.push(constant);
        value
    }

    fn select(&mut self, input: ValueId, dim: usize, indices: Vec<i64>) -> ValueId {
        let mut shape = self.file.values[input.index()].shape.clone();
        shape[dim] = Size::fixed(indices.len() as i64);
        let index = Literal::Tensor(self.constant(Constant::Indices(indices)));
        let dim = Literal::Int(Size::fixed(dim as i64));
        self.call("aten::index_select", "", &[("self", Literal::Tensor(input)), ("dim", dim), ("index", index)], shape)
    }

    /// The remaining indices at the places that they have in the original, zeros between them.
    fn put_back(&mut self, input: ValueId, original: ValueId, dim: usize) -> ValueId {
        let kept = self.kept(original, dim);
        let mut shape = self.file.values[input.index()].shape.clone();
        let mut amounts = vec![Size::fixed(0); 2 * (shape.len() - dim)];
        *amounts.last_mut().expect("it has two entries for each dimension") = Size::fixed(1);
        shape[dim].fixed += 1;
        let arguments = [
            ("self", Literal::Tensor(input)),
            ("pad", Literal::Ints(amounts)),
            ("value", Literal::Int(Size::fixed(0))),
        ];
        let padded = self.call("aten::constant_pad_nd", "", &arguments, shape);
        let size = self.shapes.before.value(original).shape[dim].fixed;
        let zero = kept.len() as i64;
        let places = (0..size).map(|index| kept.binary_search(&index).map_or(zero, |place| place as i64));
        self.select(padded, dim, places.collect())
    }

    fn call(&mut self, op: &str, overload: &str, arguments: &[(&str, Literal)], shape: Vec<Size>) -> ValueId {
        let output = self.value(shape, DType::Float32);
        self.file.nodes.push(Node {
            name: format!("reference.{}", output.0),
            op: op.to_owned(),
            overload: overload.to_owned(),
            args: arguments.iter().map(|(name, value)| Argument::positional(name, value.clone())).collect(),
            outputs: vec![output],
            list: false,
        });
        output
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
    use super::Constant;
    use crate::graph::Size;
    use crate::testing::Net;

    #[test]
    fn only_the_product_that_sums_over_removed_indices_reads_zeros() {
        let mut net = Net::new(&[7, 12]);
        net.attention("attention", 2, 6);
        let graph = net.graph();
        let keep = net.groups().iter().map(|group| (1..group.channels() as u32).collect()).collect::<Vec<_>>();
        let reference = net.cut(&keep).reference.unwrap();
        assert_eq!(reference.graph.nodes().len(), graph.nodes().len() + 1);
        assert_eq!(reference.constants, [Constant::Mask { shape: vec![6], indices: vec![0] }]);
        let attention = graph.nodes().iter().position(|node| node.op.contains("attention")).unwrap();
        let (mask, masked) = (&reference.graph.nodes()[attention], &reference.graph.nodes()[attention + 1]);
        assert_eq!(masked.tensor("query"), Some(mask.outputs[0]));
        assert_eq!(reference.graph.value(mask.outputs[0]).shape.last(), Some(&Size::fixed(6)));
    }

    #[test]
    fn a_layer_norm_runs_on_what_remains_and_its_results_return_to_their_places() {
        let mut net = Net::new(&[5, 12]);
        net.linear("a", 6).layer_norm("norm").linear("b", 4);
        let reference = net.cut(&[vec![0, 2, 5]]).reference.unwrap();
        let ops: Vec<&str> = reference.graph.nodes().iter().map(|node| node.op.as_str()).collect();
        let selections = ["aten::index_select"; 3];
        assert_eq!(
            ops,
            [
                &["aten::linear"],
                &selections[..],
                &["aten::layer_norm", "aten::constant_pad_nd", "aten::index_select", "aten::linear"]
            ]
            .concat()
        );
        let places = Constant::Indices(vec![0, 3, 1, 3, 3, 2]);
        assert_eq!(reference.constants.last(), Some(&places), "the fourth is the padded zero");
        assert_eq!(reference.graph.parameters().len(), net.graph().parameters().len() + reference.constants.len());
        assert_eq!(reference.graph.output(), net.graph().output());
    }

    #[test]
    fn without_a_normalisation_over_a_cut_dimension_there_is_no_other_reference() {
        let mut net = Net::new(&[3, 4, 4]);
        net.conv("a", 6, 3, 1).batch_norm("bn").conv("b", 2, 1, 1);
        assert!(net.cut(&[vec![1]]).reference.is_none());
        let mut net = Net::new(&[5, 12]);
        net.linear("a", 6).layer_norm("norm").linear("b", 4);
        assert!(net.cut(&[(0..6).collect()]).reference.is_none(), "nothing is cut");
    }
}

//! A stretch of a program as a graph of its own, to run a network piece by piece.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::check::GraphError;
use super::file::{GraphFile, Literal, Output, Parameter, ValueId};
use super::{FORMAT, Graph};

/// Some consecutive nodes of a graph.
#[derive(Debug, Clone)]
pub struct Segment {
    /// The nodes, with values of their own numbering.
    pub graph: Graph,
    /// What it reads, by the numbers of the whole graph and in the order of its inputs. The first is the first input of the whole graph,
    /// whether it is read or not, since a run takes the batch from there.
    pub inputs: Vec<ValueId>,
    /// What it returns, by the numbers of the whole graph and in the order of its outputs.
    pub outputs: Vec<ValueId>,
    /// Of each of its parameters the index in the whole graph.
    pub parameters: Vec<usize>,
}

impl Segment {
    /// The nodes in `range`. It returns those of its values that later nodes or the outputs of the graph need, and those of `wanted`.
    ///
    /// # Errors
    /// The graph does not fit together, which is our bug.
    pub fn of(graph: &Graph, range: Range<usize>, wanted: &[ValueId]) -> Result<Self, GraphError> {
        let nodes = &graph.nodes()[range.clone()];
        let produced: BTreeSet<ValueId> = nodes.iter().flat_map(|node| node.outputs.iter().copied()).collect();
        let needed_later = graph.nodes()[range.end..].iter().flat_map(super::file::Node::inputs);
        let needed: BTreeSet<ValueId> =
            needed_later.chain(graph.output().tensors()).chain(wanted.iter().copied()).collect();
        let outputs: Vec<ValueId> = produced.intersection(&needed).copied().collect();

        let read: BTreeSet<ValueId> = nodes.iter().flat_map(super::file::Node::inputs).collect();
        let parameter_of = |value: &ValueId| graph.parameters().iter().position(|parameter| parameter.value == *value);
        let (mut inputs, mut parameters) = (Vec::from_iter(graph.inputs().first().copied()), Vec::new());
        for value in read.difference(&produced) {
            match parameter_of(value) {
                Some(index) => parameters.push(index),
                None if inputs.contains(value) => {}
                None => inputs.push(*value),
            }
        }

        let mut numbers: BTreeMap<ValueId, ValueId> = BTreeMap::new();
        let mut values = Vec::new();
        let owned = parameters.iter().map(|&index| graph.parameters()[index].value);
        for value in inputs.iter().copied().chain(owned).chain(produced.iter().copied()) {
            numbers.insert(value, ValueId(values.len() as u32));
            values.push(graph.value(value).clone());
        }
        let renumbered = |value: &ValueId| numbers[value];
        let nodes = nodes.iter().map(|node| {
            let mut node = node.clone();
            node.outputs.iter_mut().for_each(|value| *value = renumbered(value));
            for argument in &mut node.args {
                match &mut argument.value {
                    Literal::Tensor(value) => *value = renumbered(value),
                    Literal::Tensors(list) => list.iter_mut().flatten().for_each(|value| *value = renumbered(value)),
                    _ => {}
                }
            }
            node
        });
        let own = |&index: &usize| {
            let parameter = &graph.parameters()[index];
            Parameter { value: renumbered(&parameter.value), tied_to: None, ..parameter.clone() }
        };
        let file = GraphFile {
            format: FORMAT,
            inputs: inputs.iter().map(renumbered).collect(),
            parameters: parameters.iter().map(own).collect(),
            nodes: nodes.collect(),
            output: Output::Tuple(outputs.iter().map(|value| Output::Tensor(renumbered(value))).collect()),
            values,
            specialisations: Vec::new(),
            state: Vec::new(),
            methods: Vec::new(),
            free_sizes: Vec::new(),
            input_names: Vec::new(),
            numbers: Vec::new(),
        };
        Ok(Self { graph: Graph::new(file)?, inputs, outputs, parameters })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Net;

    /// x → a → relu → b, and b + relu: what is cut after the relu needs the relu, and nothing of before.
    #[test]
    fn a_segment_reads_what_it_needs_and_returns_what_is_needed() {
        let mut net = Net::new(&[3, 8, 8]);
        net.conv("a", 4, 3, 1).relu();
        let middle = net.here();
        net.conv("b", 4, 3, 1).add(middle);
        let graph = net.graph();
        let first = Segment::of(&graph, 0..2, &[]).unwrap();
        assert_eq!((first.outputs, first.inputs), (vec![middle], vec![graph.inputs()[0]]));
        let second = Segment::of(&graph, 2..4, &[]).unwrap();
        assert_eq!(second.inputs, [graph.inputs()[0], middle]);
        assert_eq!(second.outputs, graph.output().tensors());
        let names: Vec<&str> = second.graph.parameters().iter().map(|parameter| parameter.name.as_str()).collect();
        assert!(names.iter().all(|name| name.starts_with("b.")), "{names:?}");
        assert_eq!(second.graph.nodes().len(), 2);
    }
}

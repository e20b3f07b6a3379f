//! The same network with its scores as outputs, in the place of what a final softmax or sigmoid makes of them.

use std::collections::HashMap;

use super::axis::{LONGEST_WAY, is_fractional, moved};
use crate::graph::{Graph, GraphError, GraphFile, Literal, Node, Output, Producer, ValueId};

/// The graph whose outputs are those tensors of `graph`'s that hold fractional numbers, as a tuple and before a final softmax or sigmoid.
/// `None` where these are its outputs as they are.
///
/// Nodes are added and none is changed, so the parameters and all values keep their numbers.
///
/// # Errors
/// The new graph does not fit together, which is our bug.
pub fn before_squashing(graph: &Graph) -> Result<Option<Graph>, GraphError> {
    let returned = graph.output().tensors();
    let scored = fractional(graph).into_iter().map(|index| returned[index]);
    let mut rewriter = Rewriter { graph, file: graph.file().clone(), known: HashMap::new() };
    let scores: Vec<ValueId> = scored.map(|value| rewriter.scores(value, LONGEST_WAY).unwrap_or(value)).collect();
    if scores == returned {
        return Ok(None);
    }
    rewriter.file.output = Output::Tuple(scores.into_iter().map(Output::Tensor).collect());
    Graph::new(rewriter.file).map(Some)
}

/// Which of the returned tensors hold fractional numbers, in reading order.
pub fn fractional(graph: &Graph) -> Vec<usize> {
    let returned = graph.output().tensors().into_iter().enumerate();
    returned.filter(|&(_, value)| is_fractional(graph.value(value).dtype)).map(|(index, _)| index).collect()
}

struct Rewriter<'a> {
    graph: &'a Graph,
    file: GraphFile,
    known: HashMap<ValueId, Option<ValueId>>,
}

impl Rewriter<'_> {
    /// The value that holds the scores behind `value`; `None` where no squashing ends in it.
    fn scores(&mut self, value: ValueId, way: usize) -> Option<ValueId> {
        if let Some(&known) = self.known.get(&value) {
            return known;
        }
        let found = self.look_for_scores(value, way);
        self.known.insert(value, found);
        found
    }

    fn look_for_scores(&mut self, value: ValueId, way: usize) -> Option<ValueId> {
        let Producer::Node { node, .. } = self.graph.producer(value) else { return None };
        let node = &self.graph.nodes()[node];
        match node.op.as_str() {
            "aten::softmax" | "aten::_softmax" | "aten::log_softmax" | "aten::_log_softmax" | "aten::sigmoid"
            | "aten::log_sigmoid" => node.tensor("self"),
            _ => {
                let (parts, further) = (moved(node)?, way.checked_sub(1)?);
                let scores: Vec<ValueId> =
                    parts.iter().map(|&part| self.scores(part, further)).collect::<Option<_>>()?;
                Some(self.repeat(node, value, &parts, &scores))
            }
        }
    }

    /// The step once more, on other tensors of the same shapes.
    fn repeat(&mut self, node: &Node, output: ValueId, from: &[ValueId], to: &[ValueId]) -> ValueId {
        let new = ValueId(self.file.values.len() as u32);
        self.file.values.push(self.graph.value(output).clone());
        let instead = |value: ValueId| from.iter().position(|&other| other == value).map_or(value, |at| to[at]);
        let mut copy = node.clone();
        copy.name = format!("{}.scores.{}", node.name, new.0);
        for argument in &mut copy.args {
            match &mut argument.value {
                Literal::Tensor(value) => *value = instead(*value),
                Literal::Tensors(values) => values.iter_mut().flatten().for_each(|value| *value = instead(*value)),
                _ => {}
            }
        }
        copy.outputs = vec![new];
        self.file.nodes.push(copy);
        new
    }
}

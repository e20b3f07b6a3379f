//! The element-level dimension analysis of a whole graph: the rule of every operator, then what remains to be settled.

use std::collections::HashSet;

use crate::axes::{Axes, Cause, Dim, Element, Reason};
use crate::graph::{Graph, Node};
use crate::operator;

/// Runs every node's rule in program order, then freezes what the model returns.
pub(super) fn analyse(graph: &Graph) -> Axes {
    let mut axes = Axes::new(graph.values().len());
    for (index, &input) in graph.inputs().iter().enumerate() {
        let reason = axes.reason(Cause::Input { index, inputs: graph.inputs().len() });
        axes.set(input, vec![Dim::Fixed(reason); graph.value(input).shape.len()]);
    }
    for parameter in graph.parameters().iter().filter(|parameter| parameter.tied_to.is_none()) {
        let shape = &graph.value(parameter.value).shape;
        let dims = shape.iter().map(|size| axes.fresh(size.fixed as usize)).collect();
        axes.set(parameter.value, dims);
    }
    for (index, node) in graph.nodes().iter().enumerate() {
        visit(graph, index, node, &mut axes);
    }
    for value in graph.output().tensors() {
        let reason = axes.reason(Cause::Output);
        axes.freeze_value(value, reason);
    }
    settle_splits(&mut axes);
    axes
}

/// Lets one node's operator relate its dimensions; what no rule covers cannot be cut.
fn visit(graph: &Graph, index: usize, node: &Node, axes: &mut Axes) {
    let outcome = match operator::of(node) {
        Some(operator) => operator.axes(node, graph, axes),
        None => Err(operator::no_rule(node)),
    };
    let Err(why) = outcome else {
        debug_assert!(
            node.outputs.iter().all(|&output| axes.dims(output).len() == graph.value(output).shape.len()),
            "the rule of {} sets every dimension of its outputs",
            node.op
        );
        return;
    };
    let reason = axes.block(index, &node.name, why);
    for value in node.inputs() {
        axes.freeze_value(value, reason);
    }
    for &output in &node.outputs {
        axes.set(output, vec![Dim::Fixed(reason); graph.value(output).shape.len()]);
    }
}

/// Where no attention tells the parts of a dimension apart, only the widest of them stays prunable: a channel
/// shuffle loses the same positions in each of its groups, not whole groups.
fn settle_splits(axes: &mut Axes) {
    let attended: HashSet<Element> = axes.attended().iter().flat_map(|&element| axes.atoms(element)).collect();
    for split in axes.take_splits() {
        let classes: Vec<HashSet<Element>> = split
            .factors
            .iter()
            .map(|factor| factor.iter().flat_map(|&element| axes.atoms(element)).collect())
            .collect();
        if classes.iter().any(|factor| !factor.is_disjoint(&attended)) {
            continue;
        }
        let free = |factor: &HashSet<Element>| factor.iter().filter(|&&atom| axes.frozen(atom).is_none()).count();
        let widest = (0..classes.len()).rev().max_by_key(|&factor| free(&classes[factor]));
        for (_, factor) in split.factors.iter().enumerate().filter(|(factor, _)| Some(*factor) != widest) {
            for &element in factor {
                axes.freeze_element(element, Reason::NOT_A_CHANNEL);
            }
        }
    }
}

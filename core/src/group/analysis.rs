//! The element-level dimension analysis of a whole graph: the rule of every operator, then what remains to be settled.

use std::collections::HashSet;

use crate::axes::{Axes, Cause, Dim, Element, Reason};
use crate::graph::{Graph, HeldChannels, Node};
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
    for &value in &graph.file().state {
        let reason = axes.reason(Cause::State);
        axes.freeze_value(value, reason);
    }
    for method in &graph.file().methods {
        let reason = axes.reason(Cause::Method { name: method.name.clone() });
        for held in &method.held {
            hold(graph, held, reason, &mut axes);
        }
    }
    settle_splits(&mut axes);
    axes
}

fn hold(graph: &Graph, held: &HeldChannels, reason: Reason, axes: &mut Axes) {
    let parameter = graph.parameters().iter().find(|parameter| parameter.name == held.parameter);
    let Some(parameter) = parameter else { return };
    let Some(Dim::Channels(elements)) = axes.dims(parameter.value).get(held.axis).cloned() else { return };
    for &index in &held.indices {
        if let Some(&element) = elements.get(index as usize) {
            axes.freeze_element(element, reason);
        }
    }
}

/// The channels of parameters that the graph of a method returns, or uses in a way which needs all of them.
pub fn held_channels(graph: &Graph) -> Vec<HeldChannels> {
    let axes = analyse(graph);
    let mut held = Vec::new();
    for parameter in graph.parameters().iter().filter(|parameter| parameter.tied_to.is_none()) {
        for (axis, dim) in axes.dims(parameter.value).iter().enumerate() {
            let Dim::Channels(elements) = dim else { continue };
            let is_held = |element: Element| axes.frozen(element).is_some_and(Reason::is_news);
            let indices: Vec<u32> =
                (0..elements.len()).filter(|&index| is_held(elements[index])).map(|index| index as u32).collect();
            if !indices.is_empty() {
                held.push(HeldChannels { parameter: parameter.name.clone(), axis, indices });
            }
        }
    }
    held
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

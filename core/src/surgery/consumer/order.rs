//! An order of a program's nodes in which shared weights can be fitted.

use std::collections::{BTreeMap, BTreeSet};

use super::Consumer;
use crate::graph::{Graph, Producer, ValueId};

/// The nodes of a graph in an order in which, wherever that is possible, everything that the uses of a shared weight read is computed
/// before the first of them, and the uses follow each other. `like` is the graph that the consumers are of, which has the same nodes. Since
/// what is read late must still be there, no node writes in place any more.
///
/// # Panics
/// Never: each node stands behind those that it reads.
pub fn arranged(graph: &Graph, like: &Graph, consumers: &[Consumer]) -> Graph {
    let mut file = graph.file().clone();
    if consumers.iter().any(|consumer| consumer.uses.len() > 1) {
        let order = order(like, consumers);
        file.nodes = order.into_iter().map(|index| file.nodes[index].clone()).collect();
        for node in &mut file.nodes {
            node.op = crate::operator::functional_name(&node.op).to_owned();
        }
    }
    Graph::new(file).expect("each node stands behind those that it reads")
}

fn order(graph: &Graph, consumers: &[Consumer]) -> Vec<usize> {
    let awaited = awaited(graph, consumers);
    let mut siblings: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for consumer in consumers {
        let nodes: BTreeSet<usize> = consumer.uses.iter().map(|found| found.node).collect();
        for &node in &nodes {
            siblings.entry(node).or_default().extend(&nodes);
        }
    }
    let mut is_done = vec![false; graph.nodes().len()];
    let mut order = Vec::with_capacity(is_done.len());
    let mut first = 0;
    while first < is_done.len() {
        let pending = || (first..is_done.len()).filter(|&node| !is_done[node]);
        let is_made = |value: &ValueId| match graph.producer(*value) {
            Producer::Node { node, .. } => is_done[node],
            Producer::Input(_) | Producer::Parameter(_) => true,
        };
        let can_run = |node: &usize| graph.nodes()[*node].inputs().iter().all(is_made);
        let is_due = |node: &usize| awaited.get(node).is_none_or(|values| values.iter().all(is_made));
        // Where weights wait for each other, the program's order decides.
        let next = pending().find(|node| can_run(node) && is_due(node)).or_else(|| pending().find(can_run));
        let Some(next) = next else { break };
        let together = siblings.get(&next).into_iter().flatten().copied();
        let together = together.filter(|node| *node != next && !is_done[*node] && can_run(node));
        let now: Vec<usize> = [next].into_iter().chain(together).collect();
        for &node in &now {
            is_done[node] = true;
        }
        order.extend(now);
        while is_done.get(first) == Some(&true) {
            first += 1;
        }
    }
    order
}

/// By node, what has to be computed before it: the inputs of all nodes that share a weight with it and do not depend on one of them.
fn awaited(graph: &Graph, consumers: &[Consumer]) -> BTreeMap<usize, BTreeSet<ValueId>> {
    let mut awaited: BTreeMap<usize, BTreeSet<ValueId>> = BTreeMap::new();
    for consumer in consumers.iter().filter(|consumer| consumer.uses.len() > 1) {
        let nodes: BTreeSet<usize> = consumer.uses.iter().map(|found| found.node).collect();
        let inputs = consumer.uses.iter().map(|found| found.input);
        let free: Vec<ValueId> = inputs.filter(|&input| !depends(graph, input, &nodes)).collect();
        for &node in &nodes {
            awaited.entry(node).or_default().extend(&free);
        }
    }
    awaited
}

/// Whether a value is computed from what one of these nodes gives.
fn depends(graph: &Graph, value: ValueId, nodes: &BTreeSet<usize>) -> bool {
    let (mut seen, mut open) = (BTreeSet::new(), vec![value]);
    while let Some(value) = open.pop() {
        let Producer::Node { node, .. } = graph.producer(value) else { continue };
        if nodes.contains(&node) {
            return true;
        }
        if seen.insert(node) {
            open.extend(graph.nodes()[node].inputs());
        }
    }
    false
}

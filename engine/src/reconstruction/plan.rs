//! Which layers are fitted, in what order, and what has to be known for each.

use std::collections::BTreeSet;

use secateur_core::graph::{Graph, Producer, ValueId};
use secateur_core::operator::layer_by_layer;
use secateur_core::surgery::{Consumer, Cut, Goal, Source, arranged, consumers};

use crate::torch::Program;

pub(super) struct Plan {
    /// Both networks with the same nodes in the same order; parameters are where they were.
    pub(super) original: Graph,
    pub(super) narrow: Graph,
    /// In the order in which they are fitted.
    pub(super) consumers: Vec<Consumer>,
    /// Weights that lost inputs, fitted or not.
    pub(super) lost: usize,
}

impl Plan {
    pub(super) fn of(graph: &Graph, cut: &Cut) -> Self {
        let (original, narrow) = (layer_by_layer(graph), layer_by_layer(&cut.graph));
        let found = consumers(&original, cut);
        let lost = lost(graph, cut, &found);
        let together = arranged(&original, &original, &found);
        if Program::prepare(&together).is_ok() {
            let consumers = consumers(&together, cut);
            return Self { narrow: arranged(&narrow, &original, &found), original: together, consumers, lost };
        }
        // A node that can only write in place: what several nodes share would have to be kept beyond it.
        let consumers = found.into_iter().filter(|consumer| consumer.uses.len() == 1).collect();
        Self { original, narrow, consumers, lost }
    }

    /// The node behind the uses of a weight that follow each other, the first one and on.
    pub(super) fn end(consumer: &Consumer) -> usize {
        let start = consumer.uses[0].node;
        start + consumer.uses.iter().enumerate().take_while(|(number, found)| found.node == start + number).count()
    }

    /// What is needed of either network to fit these layers.
    pub(super) fn needed(&self, consumers: &[Consumer]) -> Vec<ValueId> {
        let of_cut = consumers.iter().flat_map(|consumer| &consumer.uses).map(|found| found.input);
        of_cut.chain(consumers.iter().flat_map(|consumer| self.of_original(consumer))).collect()
    }

    /// What is needed of the original before its run gets there.
    pub(super) fn ahead(&self) -> Vec<ValueId> {
        let is_ahead = |value: ValueId, end: usize| match self.original.producer(value) {
            Producer::Node { node, .. } => node >= end,
            Producer::Input(_) | Producer::Parameter(_) => false,
        };
        let of_consumer =
            |consumer| self.of_original(consumer).filter(move |&value| is_ahead(value, Self::end(consumer)));
        self.consumers.iter().flat_map(of_consumer).collect::<BTreeSet<ValueId>>().into_iter().collect()
    }

    fn of_original<'a>(&'a self, consumer: &'a Consumer) -> impl Iterator<Item = ValueId> + 'a {
        consumer.uses.iter().flat_map(|found| {
            let input = (found.source == Source::Original || found.goal == Goal::Product).then_some(found.input);
            let output = (found.goal == Goal::Output).then(|| self.original.nodes()[found.node].outputs[0]);
            input.into_iter().chain(output)
        })
    }
}

fn lost(graph: &Graph, cut: &Cut, consumers: &[Consumer]) -> usize {
    let parameters = graph.parameters().iter().enumerate();
    let zeroed = parameters.filter(|(_, one)| one.tied_to.is_none() && cut.zeroed.0.contains_key(&one.name));
    let of_layers = consumers.iter().map(|consumer| consumer.weight);
    zeroed.map(|(index, _)| index).chain(of_layers).collect::<BTreeSet<usize>>().len()
}

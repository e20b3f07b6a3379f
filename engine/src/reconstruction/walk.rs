//! A network that runs from node to node, with the activations that are still needed.

use std::collections::HashMap;

use secateur_core::graph::{Graph, Segment, ValueId};
use tch::Tensor;

use crate::error::Error;
use crate::torch::{Mode, Program};

pub(super) struct Walk<'a> {
    graph: &'a Graph,
    /// The next node.
    at: usize,
    values: HashMap<ValueId, Tensor>,
}

impl<'a> Walk<'a> {
    /// At the first node, with one tensor for each input of the graph.
    pub(super) fn new(graph: &'a Graph, inputs: &[Tensor]) -> Self {
        let values = graph.inputs().iter().zip(inputs).map(|(&value, input)| (value, input.shallow_clone())).collect();
        Self { graph, at: 0, values }
    }

    /// Runs up to a node, which is not run. What `wanted` names is kept beside what later nodes read.
    pub(super) fn to(&mut self, node: usize, wanted: &[ValueId], weights: &[Tensor]) -> Result<(), Error> {
        if node <= self.at {
            return Ok(());
        }
        let segment = Segment::of(self.graph, self.at..node, wanted)?;
        let inputs: Vec<Tensor> =
            segment.inputs.iter().map(|&value| Ok(self.value(value)?.shallow_clone())).collect::<Result<_, Error>>()?;
        let weights: Vec<Tensor> = segment.parameters.iter().map(|&index| weights[index].shallow_clone()).collect();
        let outputs = Program::prepare(&segment.graph)?.run(&weights, &inputs, Mode::Evaluate)?;
        drop(inputs);
        self.values.extend(segment.outputs.into_iter().zip(outputs));
        self.at = node;
        let needed = |value: &ValueId| {
            wanted.contains(value)
                || self.graph.inputs().contains(value)
                || self.graph.nodes()[node..].iter().any(|later| later.inputs().contains(value))
        };
        self.values.retain(|value, _| needed(value));
        Ok(())
    }

    pub(super) fn holds(&self, value: ValueId) -> bool {
        self.values.contains_key(&value)
    }

    pub(super) fn value(&self, value: ValueId) -> Result<&Tensor, Error> {
        self.values.get(&value).ok_or_else(|| Error::internal(format!("value {} is not held", value.0)))
    }
}

/// Elements of these values of one sample.
pub(super) fn elements(graph: &Graph, values: &[ValueId]) -> i64 {
    let elements =
        |value: &ValueId| graph.value(*value).shape.iter().map(|size| size.at_batch(1).max(1)).product::<i64>();
    values.iter().map(elements).sum()
}

/// Elements of the activations of one sample that are needed at one time, at the most.
pub(super) fn peak(graph: &Graph) -> i64 {
    let mut last_read: HashMap<ValueId, usize> = HashMap::new();
    for (index, node) in graph.nodes().iter().enumerate() {
        last_read.extend(node.inputs().into_iter().map(|value| (value, index)));
    }
    let mut ends: HashMap<usize, i64> = HashMap::new();
    let (mut now, mut most) = (0, 0);
    for (index, node) in graph.nodes().iter().enumerate() {
        for &output in &node.outputs {
            let size = elements(graph, &[output]);
            now += size;
            *ends.entry(last_read.get(&output).copied().unwrap_or(index)).or_default() += size;
        }
        most = most.max(now);
        now -= ends.remove(&index).unwrap_or(0);
    }
    most
}

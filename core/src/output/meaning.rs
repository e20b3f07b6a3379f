//! What one returned tensor means, read off the end of the graph.

use std::collections::HashMap;

use super::axis::{LONGEST_WAY, after, counted, is_fractional, moved};
use super::{ModelOutput, OutputKind, Squashing};
use crate::graph::{Graph, Node, Producer, ValueId};

/// The least number of channels, per place of a map or a sequence, that are taken for classes: colours, coordinates, boxes and flows have
/// fewer.
const LEAST_CLASSES_OF_A_PLACE: i64 = 5;

/// What made a tensor what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Meaning {
    kind: OutputKind,
    axis: Option<usize>,
    squashing: Squashing,
}

/// Looks back from the ends of a graph. A tensor is looked at once, however many ways lead to it.
pub(super) struct Reader<'a> {
    graph: &'a Graph,
    squashed: HashMap<ValueId, Option<Meaning>>,
    layers: HashMap<ValueId, Option<usize>>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(graph: &'a Graph) -> Self {
        Self { graph, squashed: HashMap::new(), layers: HashMap::new() }
    }

    /// What the graph tells of a returned tensor.
    pub(super) fn output(&mut self, index: usize, name: String, value: ValueId) -> ModelOutput {
        let shape = &self.graph.value(value).shape;
        let output = |kind, axis, squashing, presumed| ModelOutput {
            index,
            name,
            kind,
            axis,
            squashing,
            presumed,
            feeds: Vec::new(),
        };
        if !is_fractional(self.graph.value(value).dtype) {
            return output(OutputKind::Ignore, None, Squashing::None, false);
        }
        if let Some(Meaning { kind, axis, squashing }) = self.squashed(value, LONGEST_WAY) {
            return output(kind, axis, squashing, false);
        }
        let channels = self.layer_axis(value, LONGEST_WAY);
        let size = |axis: usize| shape[axis].as_fixed().unwrap_or(0);
        match (shape.len(), channels) {
            (2, _) if size(1) >= 2 && channels.is_none_or(|axis| axis == 1) && !self.is_bounded(value) => {
                output(OutputKind::Categorical, Some(1), Squashing::None, true)
            }
            (3.., Some(axis)) if size(axis) >= LEAST_CLASSES_OF_A_PLACE => {
                output(OutputKind::Categorical, Some(axis), Squashing::None, true)
            }
            (2, None) => output(OutputKind::Values, Some(1), Squashing::None, false),
            _ => output(OutputKind::Values, channels, Squashing::None, channels.is_some()),
        }
    }

    /// The softmax, sigmoid or norm that a tensor comes from, by steps that only move elements.
    fn squashed(&mut self, value: ValueId, way: usize) -> Option<Meaning> {
        if let Some(&known) = self.squashed.get(&value) {
            return known;
        }
        let found = self.look_for_squashing(value, way);
        self.squashed.insert(value, found);
        found
    }

    fn look_for_squashing(&mut self, value: ValueId, way: usize) -> Option<Meaning> {
        let graph = self.graph;
        let node = producer(graph, value)?;
        let along = |squashing| {
            let axis = counted(node.int("dim")?, graph.value(node.tensor("self")?).shape.len());
            Some(Meaning { kind: OutputKind::Categorical, axis: Some(axis), squashing })
        };
        let each = |squashing| Some(Meaning { kind: OutputKind::Bernoulli, axis: None, squashing });
        match node.op.as_str() {
            "aten::softmax" | "aten::_softmax" => along(Squashing::Softmax),
            "aten::log_softmax" | "aten::_log_softmax" => along(Squashing::LogSoftmax),
            "aten::sigmoid" => each(Squashing::Sigmoid),
            "aten::log_sigmoid" => each(Squashing::LogSigmoid),
            "aten::div" => {
                let axis = norm_axis(graph, node.tensor("self")?, node.tensor("other")?)?;
                Some(Meaning { kind: OutputKind::Unit, axis: Some(axis), squashing: Squashing::None })
            }
            _ => {
                let further = way.checked_sub(1)?;
                let mut of_part = |part: ValueId| {
                    let meaning = self.squashed(part, further)?;
                    let axis = match meaning.axis {
                        Some(axis) => Some(after(graph, node, part, value, axis)?),
                        None => None,
                    };
                    Some(Meaning { axis, ..meaning })
                };
                let parts = moved(node)?;
                let first = of_part(*parts.first()?)?;
                parts[1..].iter().all(|&part| of_part(part) == Some(first)).then_some(first)
            }
        }
    }

    /// The channel axis of the layer that a tensor comes from, by steps that neither mix channels nor bend their values much.
    fn layer_axis(&mut self, value: ValueId, way: usize) -> Option<usize> {
        if let Some(&known) = self.layers.get(&value) {
            return known;
        }
        let found = self.look_for_layer(value, way);
        self.layers.insert(value, found);
        found
    }

    fn look_for_layer(&mut self, value: ValueId, way: usize) -> Option<usize> {
        let graph = self.graph;
        let node = producer(graph, value)?;
        let op = node.op.as_str();
        if matches!(op, "aten::linear" | "aten::addmm" | "aten::matmul" | "aten::mm" | "aten::bmm") {
            return graph.value(value).shape.len().checked_sub(1);
        }
        if op.contains("conv") {
            return Some(1);
        }
        let further = way.checked_sub(1)?;
        if op.starts_with("aten::upsample") || op.contains("_pool") {
            return self.layer_axis(node.tensor("self")?, further).filter(|&axis| axis == 1);
        }
        // A bias that is added behind.
        if op == "aten::add" {
            let is_parameter = |value| graph.as_parameter(value).is_some();
            return match (node.tensor("self")?, node.tensor("other")?) {
                (sum, bias) if is_parameter(bias) => self.layer_axis(sum, further),
                (bias, sum) if is_parameter(bias) => self.layer_axis(sum, further),
                _ => None,
            };
        }
        if op == "aten::relu" {
            return self.layer_axis(node.tensor("self")?, further);
        }
        let mut of_part = |part| after(graph, node, part, value, self.layer_axis(part, further)?);
        let parts = moved(node)?;
        let first = of_part(*parts.first()?)?;
        parts[1..].iter().all(|&part| of_part(part) == Some(first)).then_some(first)
    }

    /// Whether a tensor comes from a step whose results are no scores: a bounded function, a norm over the channels, or a join of which
    /// a part is squashed.
    fn is_bounded(&mut self, value: ValueId) -> bool {
        let mut here = value;
        for _ in 0..LONGEST_WAY {
            let Some(node) = producer(self.graph, here) else { return false };
            match node.op.as_str() {
                "aten::tanh"
                | "aten::hardtanh"
                | "aten::hardsigmoid"
                | "aten::sigmoid"
                | "aten::softmax"
                | "aten::sin"
                | "aten::cos"
                | "aten::softsign"
                | "aten::layer_norm"
                | "aten::native_layer_norm" => return true,
                _ => match moved(node).as_deref() {
                    Some(&[only]) => here = only,
                    Some(parts) => return parts.iter().any(|&part| self.squashed(part, LONGEST_WAY).is_some()),
                    None => return false,
                },
            }
        }
        false
    }
}

/// The axis along which `divisor` is the length of `vector`, as `torch.nn.functional.normalize` and its like compute it.
fn norm_axis(graph: &Graph, vector: ValueId, divisor: ValueId) -> Option<usize> {
    let rank = graph.value(vector).shape.len();
    let mut here = divisor;
    for _ in 0..LONGEST_WAY {
        let node = producer(graph, here)?;
        match node.op.as_str() {
            "aten::linalg_vector_norm" | "aten::norm" | "aten::linalg_norm" => {
                let dims = node.ints("dim")?;
                return match dims {
                    [dim] if node.tensor("self") == Some(vector) => Some(counted(dim.as_fixed()?, rank)),
                    _ => None,
                };
            }
            // The root of a sum of squares.
            "aten::sum" => {
                let squares = producer(graph, node.tensor("self")?)?;
                let of_vector = squares.inputs().iter().all(|&input| input == vector) && !squares.inputs().is_empty();
                let is_square = matches!(squares.op.as_str(), "aten::pow" | "aten::square" | "aten::mul");
                return match node.ints("dim")? {
                    [dim] if of_vector && is_square => Some(counted(dim.as_fixed()?, rank)),
                    _ => None,
                };
            }
            "aten::sqrt" | "aten::clamp_min" | "aten::clamp" | "aten::expand_as" | "aten::expand" | "aten::add"
            | "aten::unsqueeze" | "aten::maximum" => here = node.tensor("self")?,
            _ => return None,
        }
    }
    None
}

fn producer(graph: &Graph, value: ValueId) -> Option<&Node> {
    match graph.producer(value) {
        Producer::Node { node, .. } => Some(&graph.nodes()[node]),
        Producer::Input(_) | Producer::Parameter(_) => None,
    }
}

//! A graph with its tensors, ready to run.

pub mod cut;
pub mod weights;

use secateur_core::graph::{Graph, Size};
use secateur_core::output;
use tch::{Device, Kind, Tensor};

use crate::error::Error;
use crate::torch::{Mode, Program, Training, kind_of};

pub struct Network {
    graph: Graph,
    program: Program,
    /// Where its outputs are squashed: the program that gives what stands before.
    scores: Option<Program>,
    weights: Vec<Tensor>,
}

impl Network {
    /// `weights` are one tensor per parameter of the graph, all on the device that it is to run on.
    pub fn new(graph: Graph, weights: Vec<Tensor>) -> Result<Self, Error> {
        let program = Program::prepare(&graph)?;
        let scores = output::before_squashing(&graph)?.map(|graph| Program::prepare(&graph)).transpose()?;
        Ok(Self { graph, program, scores, weights })
    }

    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    pub fn weights(&self) -> &[Tensor] {
        &self.weights
    }

    pub fn weights_mut(&mut self) -> &mut [Tensor] {
        &mut self.weights
    }

    pub fn into_parts(self) -> (Graph, Vec<Tensor>) {
        (self.graph, self.weights)
    }

    /// Runs with other weights of the same shapes.
    pub fn run_with(&self, weights: &[Tensor], inputs: &[Tensor], mode: Mode) -> Result<Vec<Tensor>, Error> {
        Ok(self.program.run(weights, inputs, mode)?)
    }

    /// All outputs in evaluation mode, without gradients.
    pub fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, Error> {
        let _no_grad = tch::no_grad_guard();
        self.run_with(&self.weights, inputs, Mode::Evaluate)
    }

    /// Wall time of each node in evaluation mode, without gradients; seconds.
    pub fn node_seconds(&self, inputs: &[Tensor]) -> Result<Vec<f64>, Error> {
        let _no_grad = tch::no_grad_guard();
        Ok(self.program.time(&self.weights, inputs)?)
    }

    /// What losses and metrics work on: every output of fractional numbers, before a final softmax or sigmoid
    /// ([`output::before_squashing`]); in evaluation mode and without gradients.
    pub fn answers(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, Error> {
        let _no_grad = tch::no_grad_guard();
        self.answers_with(&self.weights, inputs, Mode::Evaluate)
    }

    /// Of each answer the axis that counts the samples; `None` where none does.
    pub fn batch_axes(&self) -> Vec<Option<i64>> {
        let values = self.graph.output().tensors();
        let axis = |index: usize| {
            let shape = &self.graph.value(values[index]).shape;
            shape.iter().position(|&size| size == Size::BATCH).map(|axis| axis as i64)
        };
        output::fractional(&self.graph).into_iter().map(axis).collect()
    }

    /// The same in training mode: dropout drops, and batch norm uses and updates batch statistics where these are asked for.
    pub fn train(&self, inputs: &[Tensor], training: Training) -> Result<Vec<Tensor>, Error> {
        self.answers_with(&self.weights, inputs, Mode::Train(training))
    }

    /// The same with other weights of the same shapes.
    pub fn answers_with(&self, weights: &[Tensor], inputs: &[Tensor], mode: Mode) -> Result<Vec<Tensor>, Error> {
        Ok(self.scores.as_ref().unwrap_or(&self.program).run(weights, inputs, mode)?)
    }
}

/// Width of dim 1 of the first output when that is `[N, classes]`.
pub fn classes(graph: &Graph) -> Option<i64> {
    let output = *graph.output().tensors().first()?;
    if output::fractional(graph).first() != Some(&0) {
        return None;
    }
    match graph.value(output).shape[..] {
        [_, classes] => classes.as_fixed(),
        _ => None,
    }
}

/// Inputs for a batch, the same for the same seed on every device: standard normal, or integers from 0 to the input's `max`.
pub fn random_inputs(graph: &Graph, batch: i64, seed: i64, device: Device) -> Result<Vec<Tensor>, Error> {
    let sizes = |&input| graph.value(input).shape.iter().map(|&size: &Size| size.at_batch(batch)).collect();
    random_inputs_of(graph, &graph.inputs().iter().map(sizes).collect::<Vec<_>>(), seed, device)
}

/// The same in these shapes, batch included.
pub fn random_inputs_of(graph: &Graph, shapes: &[Vec<i64>], seed: i64, device: Device) -> Result<Vec<Tensor>, Error> {
    tch::manual_seed(seed);
    let draw = |(&input, shape): (_, &Vec<i64>)| {
        let value = graph.value(input);
        let kind = kind_of(value.dtype);
        let input = if crate::network::weights::is_float(kind) {
            Tensor::f_randn(shape, (Kind::Float, Device::Cpu))?.f_to_kind(kind)?
        } else {
            Tensor::f_randint(value.max.unwrap_or(0) + 1, shape, (Kind::Int64, Device::Cpu))?.f_to_kind(kind)?
        };
        Ok(input.f_to(device)?)
    };
    graph.inputs().iter().zip(shapes).map(draw).collect()
}

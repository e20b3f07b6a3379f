//! An exponential moving average of the weights (Polyak and Juditsky, 1992), which wanders less than the weights themselves.

use secateur_core::graph::Graph;
use tch::Tensor;

use super::trained_indices;
use crate::error::Error;
use crate::network::{Network, weights};

pub(super) struct Average {
    decay: f64,
    /// Of the trained parameters, in the graph's order.
    pub(super) tensors: Vec<Tensor>,
    /// Steps that were averaged.
    steps: u64,
}

impl Average {
    /// From the weights of a student on.
    pub(super) fn new(decay: f64, graph: &Graph, student: &Network) -> Result<Self, Error> {
        let indices = trained_indices(graph, student.weights());
        let tensors = indices.into_iter().map(|index| weights::copy(&student.weights()[index]));
        Ok(Self { decay, tensors: tensors.collect::<Result<_, _>>()?, steps: 0 })
    }

    /// The average of an earlier attempt after so many steps.
    pub(super) fn restored(self, tensors: Vec<Tensor>, steps: u64) -> Self {
        Self { tensors, steps, ..self }
    }

    /// Takes in the weights after a step. The first steps weigh more, so that the weights in the beginning are soon forgotten.
    pub(super) fn add(&mut self, graph: &Graph, student: &Network) -> Result<(), Error> {
        let _no_grad = tch::no_grad_guard();
        self.steps += 1;
        let steps = self.steps as f64;
        let decay = self.decay.min((1.0 + steps) / (10.0 + steps));
        for (average, index) in self.tensors.iter_mut().zip(trained_indices(graph, student.weights())) {
            let _ = average.f_lerp_(&student.weights()[index].f_detach()?, 1.0 - decay)?;
        }
        Ok(())
    }

    /// The student's network with the average in the place of what is trained.
    pub(super) fn network(&self, graph: &Graph, student: &Network) -> Result<Network, Error> {
        let indices = trained_indices(graph, student.weights());
        let of = |index: usize| match indices.iter().position(|&trained| trained == index) {
            Some(at) => weights::copy(&self.tensors[at]),
            None => Ok(student.weights()[index].f_detach()?),
        };
        Network::new(student.graph().clone(), weights::for_each_owned(graph, |index, _| of(index))?)
    }
}

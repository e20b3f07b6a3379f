//! A few steps of distillation from the original, which need no labels: enough to tell cut networks apart that
//! re-estimated batch norm statistics alone leave at chance.
//!
//! Every network gets the same batches and the same learning rates, so that what is measured afterwards differs by the
//! networks only.

use secateur_core::spec::FineTune;
use tch::Tensor;

use super::optimizer::{Optimizer, Rule};
use super::schedule::Schedule;
use super::{trainable_copy, trained};
use crate::data::Split;
use crate::error::Error;
use crate::measure::batch_norm::for_training;
use crate::measure::evaluate::kept_elements;
use crate::network::Network;
use crate::output::Outputs;
use crate::torch::Training;

/// What networks are repaired with.
pub struct Repair<'a> {
    original: &'a Network,
    outputs: &'a Outputs,
    train: &'a Split,
    settings: &'a FineTune,
    lessons: Vec<Lesson>,
    seed: u64,
}

/// One step.
struct Lesson {
    /// Indices of its samples.
    batch: Tensor,
    /// What the original answers; `None` where all answers together would not fit, and it is asked again for every network.
    answers: Option<Vec<Tensor>>,
}

impl<'a> Repair<'a> {
    /// `steps` batches of the training split in a seeded order, at most one pass.
    pub fn new(
        original: &'a Network,
        outputs: &'a Outputs,
        train: &'a Split,
        settings: &'a FineTune,
        steps: usize,
        seed: u64,
    ) -> Result<Self, Error> {
        let batches = train.shuffled(settings.batch_size.get() as i64, seed, 0)?;
        let mut elements = 0;
        let lesson = |batch: Tensor| {
            let answers = if elements < kept_elements() {
                let answers = original.answers(&train.select(&batch)?)?;
                elements += answers.iter().map(|answer| answer.numel() as i64).sum::<i64>();
                Some(answers)
            } else {
                None
            };
            Ok(Lesson { batch, answers })
        };
        let lessons = batches.into_iter().take(steps).map(lesson).collect::<Result<_, Error>>()?;
        Ok(Self { original, outputs, train, settings, lessons, seed })
    }

    /// Steps that every network gets.
    pub fn steps(&self) -> u64 {
        self.lessons.len() as u64
    }

    /// The network after its steps. A loss that is not finite leaves it as it was.
    pub fn network(&self, cut: Network) -> Result<Network, Error> {
        let graph = cut.graph().clone();
        let student = Network::new(for_training(&graph)?, trainable_copy(&graph, cut.weights())?)?;
        let rule = Rule::of(self.settings, &graph, self.outputs);
        let mut optimizer = Optimizer::new(rule, trained(&graph, student.weights())?, self.settings.weight_decay)?;
        // Dropout draws the same for every network, whichever was repaired before it.
        tch::manual_seed(self.seed as i64);
        let mut schedule = Schedule::new(rule.rate(self.settings), self.steps());
        for Lesson { batch, answers } in &self.lessons {
            let input = self.train.select(batch)?;
            let asked = match answers {
                Some(_) => None,
                None => Some(self.original.answers(&input)?),
            };
            let targets = answers.as_ref().or(asked.as_ref()).map_or(&[][..], Vec::as_slice);
            let loss = self.outputs.distillation(&student.train(&input, Training::USUAL)?, targets)?;
            if !loss.f_double_value(&[])?.is_finite() {
                return Ok(cut);
            }
            optimizer.step(&loss, schedule.next())?;
        }
        let (_, weights) = student.into_parts();
        Network::new(graph, weights.into_iter().map(|tensor| tensor.detach()).collect())
    }
}

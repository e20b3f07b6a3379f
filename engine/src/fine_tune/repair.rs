//! A few steps of distillation from the original, which need no labels: enough to tell cut networks apart that BN recalibration alone
//! leaves at chance.
//!
//! Every network gets the same batches and the same learning rates, so that what is measured afterwards differs by the
//! networks only.

use secateur_core::spec::FineTune;
use tch::Tensor;

use super::loss::{Teacher, distillation};
use super::schedule::Schedule;
use super::sgd::Sgd;
use super::{trainable_copy, trained};
use crate::data::Split;
use crate::error::Error;
use crate::network::Network;
use crate::recalibrate::for_training;

/// What networks are repaired with.
pub struct Repair<'a> {
    train: &'a Split,
    lessons: Teacher<'a>,
    settings: &'a FineTune,
    /// Indices of the samples of each step.
    batches: Vec<Tensor>,
    seed: u64,
}

impl<'a> Repair<'a> {
    /// `steps` batches of the training split in a seeded order, at most one pass.
    pub fn new(
        original: &'a Network,
        train: &'a Split,
        settings: &'a FineTune,
        steps: usize,
        seed: u64,
    ) -> Result<Self, Error> {
        let mut batches = train.shuffled(settings.batch_size.get() as i64, seed, 0)?;
        batches.truncate(steps);
        Ok(Self { train, lessons: Teacher::of_fixed(original, train)?, settings, batches, seed })
    }

    /// The network after its steps. A loss that is not finite leaves it as it was.
    pub fn network(&self, cut: Network) -> Result<Network, Error> {
        let graph = cut.graph().clone();
        let student = Network::new(for_training(&graph)?, trainable_copy(&graph, cut.weights())?)?;
        let mut sgd = Sgd::new(trained(&graph, student.weights())?, self.settings.weight_decay)?;
        // Dropout draws the same for every network, whichever was repaired before it.
        tch::manual_seed(self.seed as i64);
        let mut schedule = Schedule::new(self.settings.lr, self.batches.len() as u64);
        for batch in &self.batches {
            let input = self.train.select(batch, None)?;
            let target = self.lessons.answer(batch, &input)?.expect("distillation needs the original");
            let loss = distillation(&student.train(input)?, &target)?;
            if !loss.f_double_value(&[])?.is_finite() {
                return Ok(cut);
            }
            sgd.step(&loss, schedule.next())?;
        }
        let (_, weights) = student.into_parts();
        Network::new(graph, weights.into_iter().map(|tensor| tensor.detach()).collect())
    }
}

//! A few steps of distillation from the original, which need no labels: enough to tell cut networks apart that
//! re-estimated batch norm statistics alone leave at chance.
//!
//! Every network gets the same batches and the same learning rates, so that what is measured afterwards differs by the
//! networks only.

use secateur_core::spec::FineTune;
use tch::Tensor;

use super::loss::{CACHED_ELEMENTS, distillation};
use super::schedule::Schedule;
use super::sgd::Sgd;
use super::{trainable_copy, trained};
use crate::data::Split;
use crate::error::Error;
use crate::measure::batch_norm::for_training;
use crate::network::Network;

/// What networks are repaired with.
pub struct Repair<'a> {
    original: &'a Network,
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
    answer: Option<Tensor>,
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
        let batches = train.shuffled(settings.batch_size.get() as i64, seed, 0)?;
        let mut elements = 0;
        let lesson = |batch: Tensor| {
            let answer = if elements < CACHED_ELEMENTS {
                let answer = original.logits(train.select(&batch, None)?)?;
                elements += answer.numel() as i64;
                Some(answer)
            } else {
                None
            };
            Ok(Lesson { batch, answer })
        };
        let lessons = batches.into_iter().take(steps).map(lesson).collect::<Result<_, Error>>()?;
        Ok(Self { original, train, settings, lessons, seed })
    }

    /// Steps that every network gets.
    pub fn steps(&self) -> u64 {
        self.lessons.len() as u64
    }

    /// The network after its steps. A loss that is not finite leaves it as it was.
    pub fn network(&self, cut: Network) -> Result<Network, Error> {
        let graph = cut.graph().clone();
        let student = Network::new(for_training(&graph)?, trainable_copy(&graph, cut.weights())?)?;
        let mut sgd = Sgd::new(trained(&graph, student.weights())?, self.settings.weight_decay)?;
        // Dropout draws the same for every network, whichever was repaired before it.
        tch::manual_seed(self.seed as i64);
        let mut schedule = Schedule::new(self.settings.lr, self.steps());
        for Lesson { batch, answer } in &self.lessons {
            let input = self.train.select(batch, None)?;
            let target = match answer {
                Some(answer) => answer.shallow_clone(),
                None => self.original.logits(input.shallow_clone())?,
            };
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

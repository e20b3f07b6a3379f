//! The type that the steps of a fine-tune are computed in.

use std::time::Instant;

use secateur_core::cost::CostModel;
use secateur_core::group::Grouping;
use secateur_core::spec;
use tch::Tensor;

use super::loss::Loss;
use super::{Session, Start, trainable_copy, trained};
use crate::error::Error;
use crate::measure::batch_norm::for_training;
use crate::network::Network;
use crate::torch::{Precision, Training};

/// Steps in each type that are timed, after one that is not.
const STEPS: usize = 3;

/// How many times as fast bfloat16 has to be: less is noise, or not worth the bits.
const WORTH_IT: f64 = 1.125;

/// Steps of the whole fine-tune up to which nothing is measured.
const FEW: u64 = 50;

/// Multiply-accumulates of a step, forwards only, up to which nothing is measured.
const SMALL: u64 = 1_000_000_000;

/// What the spec asks for, or the faster one on a few steps of the network, which are forgotten.
///
/// # Errors
/// A batch cannot be drawn.
pub(super) fn choose(session: &Session, start: Start) -> Result<Precision, Error> {
    match session.settings.precision {
        spec::Precision::Float32 => return Ok(Precision::Float32),
        spec::Precision::Bfloat16 => return Ok(Precision::Bfloat16),
        spec::Precision::Auto => {}
    }
    let macs = CostModel::of(start.graph, &Grouping::of(start.graph)).full().macs;
    if macs.saturating_mul(session.batch_size() as u64) < SMALL {
        return Ok(Precision::Float32);
    }
    if session.steps_of_an_epoch()? * u64::from(session.settings.epochs) < FEW {
        return Ok(Precision::Float32);
    }
    let (full, half) = match measured(session, start) {
        Ok(Some(seconds)) => seconds,
        Ok(None) => {
            session.messages.log("training in float32: the first losses are not all finite");
            return Ok(Precision::Float32);
        }
        // Whoever trains goes on with fewer samples in a pass.
        Err(error) => {
            session.messages.log(format!("training in float32, since the first steps failed: {error}"));
            return Ok(Precision::Float32);
        }
    };
    let chosen = if full > half * WORTH_IT { Precision::Bfloat16 } else { Precision::Float32 };
    session.messages.log(format!(
        "a step takes {:.0} ms in float32 and {:.0} ms in bfloat16: training in {}",
        1000.0 * full,
        1000.0 * half,
        if chosen == Precision::Bfloat16 { "bfloat16" } else { "float32" }
    ));
    Ok(chosen)
}

/// Seconds of a step in float32 and in bfloat16; `None` when a loss is not finite.
fn measured(session: &Session, start: Start) -> Result<Option<(f64, f64)>, Error> {
    let trial = Trial::new(session, start)?;
    let mut best = (f64::INFINITY, f64::INFINITY);
    for step in 0..=STEPS {
        let (Some(full), Some(half)) = (trial.seconds(Precision::Float32)?, trial.seconds(Precision::Bfloat16)?) else {
            return Ok(None);
        };
        if step > 0 {
            best = (best.0.min(full), best.1.min(half));
        }
    }
    Ok(Some(best))
}

/// A copy of the network and one batch.
struct Trial<'a> {
    student: Network,
    trained: Vec<Tensor>,
    loss: Loss<'a>,
    input: Vec<Tensor>,
    labels: Option<Tensor>,
    targets: Option<Vec<Tensor>>,
}

impl<'a> Trial<'a> {
    fn new(session: &Session<'a>, Start { graph, weights, .. }: Start) -> Result<Self, Error> {
        let pass = session.settings.micro_batch.unwrap_or(session.settings.batch_size).get() as i64;
        let batches = session.train.shuffled(pass, session.seed, 0)?;
        let batch = batches.into_iter().next().ok_or_else(|| Error::internal("a split without a batch"))?;
        let (input, labels) = session.train.draw(&batch, None)?;
        let student = Network::new(for_training(graph)?, trainable_copy(graph, weights)?)?;
        let trained = trained(graph, student.weights())?;
        let loss = Loss::new(session.outputs, session.train, session.settings);
        let targets = loss.needs_original().then(|| session.answers_to(&batch, &input)).transpose()?;
        Ok(Self { student, trained, loss, input, labels, targets })
    }

    /// Wall time of one pass and its gradients; `None` when the loss is not finite.
    fn seconds(&self, precision: Precision) -> Result<Option<f64>, Error> {
        let started = Instant::now();
        let answers = self.student.train(&self.input, Training { precision, ..Training::USUAL })?;
        let loss = self.loss.of(&answers, self.labels.as_ref(), self.targets.as_deref())?;
        let sources: Vec<&Tensor> = self.trained.iter().collect();
        let gradients = Tensor::f_run_backward(&[&loss], &sources, false, false)?;
        // Waits for a GPU, too.
        let value = loss.f_double_value(&[])?;
        drop(gradients);
        Ok(value.is_finite().then(|| started.elapsed().as_secs_f64()))
    }
}

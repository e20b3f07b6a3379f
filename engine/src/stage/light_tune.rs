//! The rung `light_tune`: some epochs of training for the better ones.

use std::cell::OnceCell;

use secateur_core::spec::FineTune;
use secateur_core::stage::light_tune::{LightTuneWork, lightly_tuned_weights};
use secateur_core::stage::repair::repaired_weights;
use secateur_core::stage::rung::RungResult;
use secateur_core::stage::screen::screened_weights;

use super::candidate::Ground;
use super::rung::{Rung, climb};
use super::task::Task;
use crate::error::Error;
use crate::training::{Session, Start, Tuned, fine_tune, usual_rate};

const LIGHT_TUNE: Rung = Rung { from: &[repaired_weights, screened_weights], to: lightly_tuned_weights };

/// Trains the candidates for a few epochs.
///
/// # Errors
/// libtorch's.
pub(super) fn run(task: &Task, work: &LightTuneWork) -> Result<RungResult, Error> {
    let original = task.original()?;
    let ground = Ground::needed(task, &original)?;
    let validator = ground.validator(&original)?;
    let settings = task.fine_tune()?;
    // One for all, so that they differ by the networks; a trial for each would cost half as much again.
    let lr = usual_rate(settings, original.graph(), &ground.outputs);
    let settings = FineTune { epochs: settings.light_epochs, lr: Some(lr), ..settings.clone() };
    let session = Session {
        original: &original,
        outputs: &ground.outputs,
        train: &ground.train,
        validator: &validator,
        settings: &settings,
        seed: task.spec.seed,
        messages: task.messages,
        answers: OnceCell::new(),
        checkpoints: None,
    };
    let rated =
        climb(task, &original, (&ground, &validator), &work.candidates, &LIGHT_TUNE, |candidate, graph, start| {
            let start = Start { graph, weights: &start, hints: &[], candidate };
            let Tuned { weights, score, .. } = fine_tune(&session, start)?;
            Ok((weights, score))
        })?;
    let steps = session.steps_of_an_epoch()? * u64::from(settings.epochs);
    Ok(RungResult { steps, rated })
}

//! Full fine-tune of one candidate.

use std::cell::OnceCell;

use secateur_core::recovery::{Accuracy, TuneResult};
use secateur_core::stage::light_tune::lightly_tuned_weights;
use secateur_core::stage::repair::repaired_weights;
use secateur_core::stage::screen::screened_weights;
use secateur_core::stage::tune::{TuneWork, tuned_weights};
use secateur_core::surgery::hints;

use super::candidate::{self, Ground};
use super::task::Task;
use crate::data::{Split, SplitName};
use crate::error::Error;
use crate::measure::evaluate;
use crate::network::{Network, weights};
use crate::training::{Session, Start, Tuned, fine_tune};

/// Trains one candidate.
///
/// # Errors
/// libtorch's.
pub(super) fn run(task: &Task, work: &TuneWork) -> Result<TuneResult, Error> {
    let settings = task.fine_tune()?;
    let original = task.original()?;
    let ground = Ground::needed(task, &original)?;
    let validator = ground.validator(&original)?;
    let Ground { outputs, train, val } = &ground;

    let proposed = task.candidate(work.candidate)?;
    let cut = candidate::cut(original.graph(), &proposed)?;
    let hints = hints(original.graph(), &cut);
    let graph = cut.graph;
    let left: [fn(usize) -> String; 3] = [lightly_tuned_weights, repaired_weights, screened_weights];
    let start = candidate::weights_of(task, &original, &proposed, Some((&ground, &validator)), &left)?;
    let session = Session {
        original: &original,
        outputs,
        train,
        validator: &validator,
        settings,
        seed: task.spec.seed,
        messages: task.messages,
        answers: OnceCell::new(),
        checkpoints: Some(&task.checkpoints),
    };
    let start = Start { graph: &graph, weights: &start, hints: &hints, candidate: work.candidate };
    let Tuned { weights, epochs, best_epoch, score, recipe } = fine_tune(&session, start)?;
    weights::save(&task.path(&tuned_weights(work.candidate)), &graph, &weights)?;

    let tuned = Network::new(graph, weights)?;
    let accuracy: Option<Accuracy> = held_out(task, &tuned, val)?;
    Ok(TuneResult { candidate: work.candidate, epochs, best_epoch, recipe: Some(recipe), accuracy, score })
}

fn held_out(task: &Task, tuned: &Network, val: &Split) -> Result<Option<Accuracy>, Error> {
    match task.data(tuned.graph())? {
        Some(data) => evaluate::held_out(tuned, val, &data.split(SplitName::Test)?),
        None => Ok(None),
    }
}

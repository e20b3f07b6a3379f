//! Full fine-tune of one candidate.

use secateur_core::recovery::{Accuracy, TuneResult};
use secateur_core::stage::light_tune::lightly_tuned_weights;
use secateur_core::stage::repair::repaired_weights;
use secateur_core::stage::screen::screened_weights;
use secateur_core::stage::tune::{TuneWork, tuned_weights};

use super::candidate;
use super::task::Task;
use crate::data::SplitName;
use crate::error::Error;
use crate::measure::evaluate;
use crate::network::{Network, weights};
use crate::training::{Session, Tuned, fine_tune};

/// Trains one candidate.
///
/// # Errors
/// libtorch's.
pub(super) fn run(task: &Task, work: &TuneWork) -> Result<TuneResult, Error> {
    let settings = task.fine_tune()?;
    let original = task.original()?;
    let data = task.data(original.graph())?.ok_or_else(|| Error::internal("a tune task without a data set"))?;
    let (train, val) = (data.split(SplitName::Train)?, data.split(SplitName::Val)?);

    let proposed = task.candidate(work.candidate)?;
    let graph = candidate::cut(original.graph(), &proposed)?.graph;
    let left: [fn(usize) -> String; 3] = [lightly_tuned_weights, repaired_weights, screened_weights];
    let start = candidate::weights_of(task, &original, &proposed, Some(&train), &left)?;
    let outputs = task.outputs(&original, &train)?;
    let session = Session {
        original: &original,
        outputs: &outputs,
        train: &train,
        val: &val,
        settings,
        seed: task.spec.seed,
        messages: task.messages,
        checkpoints: Some(&task.checkpoints),
    };
    let Tuned { weights, epochs, best_epoch, score } = fine_tune(&session, &graph, &start)?;
    weights::save(&task.path(&tuned_weights(work.candidate)), &graph, &weights)?;

    let tuned = Network::new(graph, weights)?;
    let accuracy: Option<Accuracy> = evaluate::held_out(&tuned, &val, &data.split(SplitName::Test)?)?;
    Ok(TuneResult { candidate: work.candidate, epochs, best_epoch, accuracy, score })
}

//! Full fine-tune of one candidate.

use secateur_core::report::Accuracy;
use secateur_core::task::{TaskResult, TuneResult, file};

use super::{Finished, Task, screen};
use crate::data::SplitName;
use crate::error::Error;
use crate::evaluate;
use crate::fine_tune::{Session, Tuned, fine_tune};
use crate::network::Network;
use crate::weights;

pub fn run(task: &Task, candidate: usize) -> Result<Finished, Error> {
    let settings = task.fine_tune()?;
    let original = task.original()?;
    let data = task.data(original.graph())?.ok_or_else(|| Error::internal("a tune task without a data set"))?;
    let (train, val) = (data.split(SplitName::Train)?, data.split(SplitName::Val)?);

    let proposed = task.candidate(candidate)?;
    let graph = task.cut(original.graph(), &proposed)?.graph;
    let left: [fn(usize) -> String; 3] = [file::lightly_tuned, file::repaired, file::screened];
    let start = screen::weights_of(task, &original, &proposed, Some(&train), &left)?;
    let session = Session {
        teacher: &original,
        train: &train,
        val: &val,
        settings,
        seed: task.spec.seed,
        messages: task.messages,
        checkpoints: Some(&task.checkpoints),
    };
    let Tuned { weights, epochs, best_epoch, score } = fine_tune(&session, &graph, &start)?;
    let name = file::tuned(candidate);
    weights::save(&task.path(&name), &graph, &weights)?;

    let tuned = Network::new(graph, weights)?;
    let accuracy: Option<Accuracy> = evaluate::held_out(&tuned, &val, &data.split(SplitName::Test)?)?;
    let result = TuneResult { candidate, epochs, best_epoch, accuracy, score };
    Ok(Finished::new(TaskResult::Tune(result), [name]))
}

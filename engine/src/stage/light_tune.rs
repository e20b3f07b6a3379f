//! A few epochs for each candidate of the shard: successive halving's second rung.

use secateur_core::spec::FineTune;
use secateur_core::task::{LightTuneResult, LightlyTuned, TaskResult, file};

use super::{Finished, Task, screen};
use crate::data::SplitName;
use crate::error::Error;
use crate::fine_tune::{Session, fine_tune};
use crate::network::Network;
use crate::{evaluate, weights};

pub fn run(task: &Task, candidates: &[usize]) -> Result<Finished, Error> {
    let settings = task.fine_tune()?;
    let settings = FineTune { epochs: settings.light_epochs, ..settings.clone() };
    let original = task.original()?;
    let data = task.data(original.graph())?.ok_or_else(|| Error::internal("a light_tune task without a data set"))?;
    let (train, val) = (data.split(SplitName::Train)?, data.split(SplitName::Val)?);
    let session = Session {
        teacher: &original,
        train: &train,
        val: &val,
        settings: &settings,
        seed: task.spec.seed,
        messages: task.messages,
    };

    let mut tuned = Vec::with_capacity(candidates.len());
    for &candidate in candidates {
        let proposed = task.candidate(candidate)?;
        let graph = task.cut(original.graph(), &proposed)?.graph;
        let start = screen::weights_after(task, &original, &proposed, Some(&train))?;
        let found = fine_tune(&session, &graph, &start)?;
        weights::save(&task.path(&file::lightly_tuned(candidate)), &graph, &found.weights)?;
        let accuracy = evaluate::accuracy(&Network::new(graph, found.weights)?, &val)?;
        tuned.push(LightlyTuned { candidate, accuracy, score: found.score });
    }
    let files: Vec<String> = candidates.iter().map(|&candidate| file::lightly_tuned(candidate)).collect();
    Ok(Finished::new(TaskResult::LightTune(LightTuneResult { tuned }), files))
}

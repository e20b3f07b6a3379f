//! A few epochs for each candidate of the shard: successive halving's second rung.

use secateur_core::spec::FineTune;
use secateur_core::task::{LightTuneResult, LightlyTuned, TaskResult, file};
use tch::{Device, Tensor};

use super::{Finished, Task, screen};
use crate::checkpoint::{Saved, numbers};
use crate::data::SplitName;
use crate::error::Error;
use crate::fine_tune::{Session, fine_tune};
use crate::network::Network;
use crate::{cut, evaluate, weights};

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
        checkpoints: None,
    };

    let mut tuned =
        task.checkpoints.resume(|_: (), saved| restore(task, &original, candidates, saved)).unwrap_or_default();
    for &candidate in &candidates[tuned.len()..] {
        let proposed = task.candidate(candidate)?;
        let graph = task.cut(original.graph(), &proposed)?.graph;
        let start = screen::weights_after(task, &original, &proposed, Some(&train))?;
        let found = fine_tune(&session, &graph, &start)?;
        weights::save(&task.path(&file::lightly_tuned(candidate)), &graph, &found.weights)?;
        let accuracy = evaluate::accuracy(&Network::new(graph, found.weights)?, &val)?;
        tuned.push(LightlyTuned { candidate, accuracy, score: found.score });
        if tuned.len() < candidates.len() {
            let at = format!("{} of {} candidates", tuned.len(), candidates.len());
            task.checkpoints.save(&at, &(), || tensors(task, &tuned));
        }
    }
    let files: Vec<String> = candidates.iter().map(|&candidate| file::lightly_tuned(candidate)).collect();
    Ok(Finished::new(TaskResult::LightTune(LightTuneResult { tuned }), files))
}

const SCORES: &str = "scores";
const ACCURACIES: &str = "accuracies";

/// The tensors of a checkpoint: what was measured of the candidates that are done, and their weights.
fn tensors(task: &Task, tuned: &[LightlyTuned]) -> Result<Vec<(String, Tensor)>, Error> {
    let scores: Vec<f64> = tuned.iter().map(|light| light.score).collect();
    let accuracies: Vec<f64> = tuned.iter().map(|light| light.accuracy.unwrap_or(f64::NAN)).collect();
    let mut tensors = vec![numbers(SCORES, &scores)?, numbers(ACCURACIES, &accuracies)?];
    for light in tuned {
        let path = task.path(&file::lightly_tuned(light.candidate));
        let of_candidate = |(name, tensor): (String, Tensor)| (weight(light.candidate, &name), tensor);
        tensors.extend(weights::load_named(&path, Device::Cpu)?.into_iter().map(of_candidate));
    }
    Ok(tensors)
}

/// Takes a checkpoint up: writes the weights of the candidates that are done and says what was measured of them.
fn restore(
    task: &Task,
    original: &Network,
    candidates: &[usize],
    saved: &mut Saved,
) -> Result<Vec<LightlyTuned>, Error> {
    let (scores, accuracies) = (saved.numbers(SCORES)?, saved.numbers(ACCURACIES)?);
    if scores.len() > candidates.len() || accuracies.len() != scores.len() {
        return Err(Error::internal(format!("it is of {} candidates of {}", scores.len(), candidates.len())));
    }
    let mut tuned = Vec::with_capacity(candidates.len());
    for ((&candidate, score), accuracy) in candidates.iter().zip(scores).zip(accuracies) {
        let cut = task.cut(original.graph(), &task.candidate(candidate)?)?;
        let expected = cut::apply(original.graph(), &cut, original.weights())?;
        let weights = weights::for_each_owned(&cut.graph, |index, parameter| {
            saved.like(&weight(candidate, &parameter.name), &expected[index])
        })?;
        weights::save(&task.path(&file::lightly_tuned(candidate)), &cut.graph, &weights)?;
        tuned.push(LightlyTuned { candidate, accuracy: Some(accuracy).filter(|value| !value.is_nan()), score });
    }
    Ok(tuned)
}

fn weight(candidate: usize, parameter: &str) -> String {
    format!("{candidate}/{parameter}")
}

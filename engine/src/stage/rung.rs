//! The rungs of successive halving: every candidate of the shard gets the same little training and is measured.
//!
//! `repair` is some steps of distillation for all that were screened, `light_tune` some epochs for the better ones. Each goes on
//! from the weights that the rung before has left.

use secateur_core::graph::Graph;
use secateur_core::spec::FineTune;
use secateur_core::task::{Rated, RungResult, Score, TaskResult, file};
use tch::{Device, Tensor};

use super::{Finished, Task, screen};
use crate::checkpoint::{Saved, numbers};
use crate::data::{Split, SplitName};
use crate::error::Error;
use crate::fine_tune::repair::Repair;
use crate::fine_tune::{Judge, Session, Tuned, fine_tune};
use crate::network::Network;
use crate::{cut, weights};

/// The files of a rung, by candidate.
struct Rung {
    /// The weights that it starts from; the first that is there.
    from: &'static [fn(usize) -> String],
    to: fn(usize) -> String,
}

const REPAIR: Rung = Rung { from: &[file::screened], to: file::repaired };
const LIGHT_TUNE: Rung = Rung { from: &[file::repaired, file::screened], to: file::lightly_tuned };

pub fn repair(task: &Task, candidates: &[usize]) -> Result<Finished, Error> {
    let ground = Ground::of(task)?;
    let steps = task.spec.search.repair_steps as usize;
    let repair = Repair::new(&ground.original, &ground.train, task.fine_tune()?, steps, task.spec.seed)?;
    let judge = Judge::new(&ground.original, &ground.val)?;
    let mut progress = task.messages.count(candidates.len() as u64, "candidates");
    let rated = climb(task, &ground, candidates, &REPAIR, |graph, start| {
        let repaired = repair.network(Network::new(graph.clone(), start)?)?;
        let score = judge.score(&repaired)?;
        progress.advance();
        Ok((repaired.into_parts().1, score))
    })?;
    let result = RungResult { steps: repair.steps(), rated };
    Ok(finished(result, TaskResult::Repair, &REPAIR))
}

pub fn light_tune(task: &Task, candidates: &[usize]) -> Result<Finished, Error> {
    let ground = Ground::of(task)?;
    let settings = task.fine_tune()?;
    let settings = FineTune { epochs: settings.light_epochs, ..settings.clone() };
    let session = Session {
        teacher: &ground.original,
        train: &ground.train,
        val: &ground.val,
        settings: &settings,
        seed: task.spec.seed,
        messages: task.messages,
        checkpoints: None,
    };
    let rated = climb(task, &ground, candidates, &LIGHT_TUNE, |graph, start| {
        let Tuned { weights, score, .. } = fine_tune(&session, graph, &start)?;
        Ok((weights, score))
    })?;
    let steps = session.steps_of_an_epoch()? * u64::from(settings.epochs);
    Ok(finished(RungResult { steps, rated }, TaskResult::LightTune, &LIGHT_TUNE))
}

fn finished(result: RungResult, of_stage: fn(RungResult) -> TaskResult, rung: &Rung) -> Finished {
    let files: Vec<String> = result.rated.iter().map(|rated| (rung.to)(rated.candidate)).collect();
    Finished::new(of_stage(result), files)
}

/// What every candidate is trained and measured on.
struct Ground {
    original: Network,
    train: Split,
    val: Split,
}

impl Ground {
    fn of(task: &Task) -> Result<Self, Error> {
        let original = task.original()?;
        let data = task.data(original.graph())?.ok_or_else(|| Error::internal("a training task without a data set"))?;
        let (train, val) = (data.split(SplitName::Train)?, data.split(SplitName::Val)?);
        drop(data);
        Ok(Self { original, train, val })
    }
}

/// Trains the candidates one after the other, from where a checkpoint left off.
fn climb(
    task: &Task,
    ground: &Ground,
    candidates: &[usize],
    rung: &Rung,
    mut train: impl FnMut(&Graph, Vec<Tensor>) -> Result<(Vec<Tensor>, Score), Error>,
) -> Result<Vec<Rated>, Error> {
    let mut done = task
        .checkpoints
        .resume(|_: (), saved| restore(task, &ground.original, candidates, rung, saved))
        .unwrap_or_default();
    for &candidate in &candidates[done.len()..] {
        let proposed = task.candidate(candidate)?;
        let graph = task.cut(ground.original.graph(), &proposed)?.graph;
        let start = screen::weights_of(task, &ground.original, &proposed, Some(&ground.train), rung.from)?;
        let (weights, score) = train(&graph, start)?;
        weights::save(&task.path(&(rung.to)(candidate)), &graph, &weights)?;
        done.push(Rated { candidate, score });
        if done.len() < candidates.len() {
            let at = format!("{} of {} candidates", done.len(), candidates.len());
            task.checkpoints.save(&at, &(), || tensors(task, rung, &done));
        }
    }
    Ok(done)
}

const LOSSES: &str = "losses";
const ACCURACIES: &str = "accuracies";

/// The tensors of a checkpoint: what was measured of the candidates that are done, and their weights.
fn tensors(task: &Task, rung: &Rung, done: &[Rated]) -> Result<Vec<(String, Tensor)>, Error> {
    let losses: Vec<f64> = done.iter().map(|rated| rated.score.loss).collect();
    let accuracies: Vec<f64> = done.iter().map(|rated| rated.score.accuracy.unwrap_or(f64::NAN)).collect();
    let mut tensors = vec![numbers(LOSSES, &losses)?, numbers(ACCURACIES, &accuracies)?];
    for &Rated { candidate, .. } in done {
        let of_candidate = |(name, tensor): (String, Tensor)| (weight(candidate, &name), tensor);
        tensors
            .extend(weights::load_named(&task.path(&(rung.to)(candidate)), Device::Cpu)?.into_iter().map(of_candidate));
    }
    Ok(tensors)
}

/// Takes a checkpoint up: writes the weights of the candidates that are done and says what was measured of them.
fn restore(
    task: &Task,
    original: &Network,
    candidates: &[usize],
    rung: &Rung,
    saved: &mut Saved,
) -> Result<Vec<Rated>, Error> {
    let (losses, accuracies) = (saved.numbers(LOSSES)?, saved.numbers(ACCURACIES)?);
    if losses.len() > candidates.len() || accuracies.len() != losses.len() {
        return Err(Error::internal(format!("it is of {} candidates of {}", losses.len(), candidates.len())));
    }
    let mut done = Vec::with_capacity(candidates.len());
    for ((&candidate, loss), accuracy) in candidates.iter().zip(losses).zip(accuracies) {
        let cut = task.cut(original.graph(), &task.candidate(candidate)?)?;
        let expected = cut::apply(original.graph(), &cut, original.weights())?;
        let weights = weights::for_each_owned(&cut.graph, |index, parameter| {
            saved.like(&weight(candidate, &parameter.name), &expected[index])
        })?;
        weights::save(&task.path(&(rung.to)(candidate)), &cut.graph, &weights)?;
        let accuracy = Some(accuracy).filter(|value| !value.is_nan());
        done.push(Rated { candidate, score: Score { accuracy, loss } });
    }
    Ok(done)
}

fn weight(candidate: usize, parameter: &str) -> String {
    format!("{candidate}/{parameter}")
}

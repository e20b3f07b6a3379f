//! What the rungs of successive halving share: every candidate of a task gets the same little training and is measured, from the weights
//! that the rung before has left.

use secateur_core::graph::Graph;
use secateur_core::recovery::{Rated, Score};
use tch::{Device, Tensor};

use super::candidate::{self, Measured};
use super::task::Task;
use crate::error::Error;
use crate::network::{Network, cut, weights};
use crate::process::checkpoint::{Saved, numbers};

/// The files of a rung, by candidate.
pub(super) struct Rung {
    /// The weights that it starts from; the first that is there.
    pub(super) from: &'static [fn(usize) -> String],
    /// The weights that it writes.
    pub(super) to: fn(usize) -> String,
}

/// Trains the candidates one after the other, from where a checkpoint left off.
///
/// # Errors
/// What `train` says.
pub(super) fn climb(
    task: &Task,
    original: &Network,
    ground: Measured,
    candidates: &[usize],
    rung: &Rung,
    mut train: impl FnMut(usize, &Graph, Vec<Tensor>) -> Result<(Vec<Tensor>, Score), Error>,
) -> Result<Vec<Rated>, Error> {
    let mut done =
        task.checkpoints.resume(|(): (), saved| restore(task, original, candidates, rung, saved)).unwrap_or_default();
    for &index in &candidates[done.len()..] {
        let proposed = task.candidate(index)?;
        let graph = candidate::cut(original.graph(), &proposed)?.graph;
        let start = candidate::weights_of(task, original, &proposed, Some(ground), rung.from)?;
        let (weights, score) = train(index, &graph, start)?;
        weights::save(&task.path(&(rung.to)(index)), &graph, &weights)?;
        done.push(Rated { candidate: index, score });
        if done.len() < candidates.len() {
            let at = format!("{} of {} candidates", done.len(), candidates.len());
            task.checkpoints.save(&at, &(), || tensors(task, rung, &done));
        }
    }
    Ok(done)
}

const LOSSES: &str = "losses";
const ACCURACIES: &str = "accuracies";
const METRICS: &str = "metrics";

/// The tensors of a checkpoint: what was measured of the candidates that are done, and their weights.
fn tensors(task: &Task, rung: &Rung, done: &[Rated]) -> Result<Vec<(String, Tensor)>, Error> {
    let losses: Vec<f64> = done.iter().map(|rated| rated.score.loss).collect();
    let accuracies: Vec<f64> = done.iter().map(|rated| rated.score.accuracy.unwrap_or(f64::NAN)).collect();
    let metrics: Vec<f64> = done.iter().map(|rated| rated.score.metric.unwrap_or(f64::NAN)).collect();
    let mut tensors = vec![numbers(LOSSES, &losses)?, numbers(ACCURACIES, &accuracies)?, numbers(METRICS, &metrics)?];
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
    let metrics = saved.numbers(METRICS)?;
    if losses.len() > candidates.len() || accuracies.len() != losses.len() || metrics.len() != losses.len() {
        return Err(Error::internal(format!("it is of {} candidates of {}", losses.len(), candidates.len())));
    }
    let mut done = Vec::with_capacity(candidates.len());
    let known = |value: f64| Some(value).filter(|value| !value.is_nan());
    for (at, &candidate) in candidates.iter().enumerate().take(losses.len()) {
        let cut = candidate::cut(original.graph(), &task.candidate(candidate)?)?;
        let expected = cut::apply(original.graph(), &cut, original.weights())?;
        let weights = weights::for_each_owned(&cut.graph, |index, parameter| {
            saved.like(&weight(candidate, &parameter.name), &expected[index])
        })?;
        weights::save(&task.path(&(rung.to)(candidate)), &cut.graph, &weights)?;
        let (accuracy, metric) = (known(accuracies[at]), known(metrics[at]));
        done.push(Rated { candidate, score: Score { accuracy, metric, loss: losses[at] } });
    }
    Ok(done)
}

fn weight(candidate: usize, parameter: &str) -> String {
    format!("{candidate}/{parameter}")
}

//! A candidate's network: cut, proved, and measured.

use secateur_core::configuration::Candidate;
use secateur_core::graph::Graph;
use secateur_core::group::Grouping;
use secateur_core::surgery::{self, Cut, Equivalence};
use tch::Tensor;

use super::task::Task;
use crate::data::Split;
use crate::error::Error;
use crate::measure::batch_norm;
use crate::network::{self, Network, weights};
use crate::proof::oracle;

/// Samples of the data set that the oracle compares on.
const ORACLE_SAMPLES: i64 = 16;

/// The cut of a candidate's channels.
pub(super) fn cut(graph: &Graph, candidate: &Candidate) -> Result<Cut, Error> {
    surgery::cut(graph, &Grouping::of(graph), &candidate.configuration)
        .map_err(|error| Error::internal(format!("candidate {}: {error}", candidate.index)))
}

/// The weights of a candidate as the stages before have left them: from the first of `files` that is there or, where an earlier
/// job's screen was taken over and there is none, made again as the screen makes them.
pub(super) fn weights_of(
    task: &Task,
    original: &Network,
    candidate: &Candidate,
    train: Option<&Split>,
    files: &[fn(usize) -> String],
) -> Result<Vec<Tensor>, Error> {
    if let Some(path) = files.iter().map(|file| task.path(&file(candidate.index))).find(|path| path.exists()) {
        return weights::load(&path, &cut(original.graph(), candidate)?.graph, task.device);
    }
    let (pruned, _) = cut_and_reestimated(task, original, candidate, train)?;
    Ok(pruned.into_parts().1)
}

/// The cut network, proved by the oracle, with new batch norm statistics when there are samples.
pub(super) fn cut_and_reestimated(
    task: &Task,
    original: &Network,
    candidate: &Candidate,
    train: Option<&Split>,
) -> Result<(Network, Equivalence), Error> {
    let index = candidate.index;
    let cut = cut(original.graph(), candidate)?;
    let tensors = network::cut::apply(original.graph(), &cut, original.weights())?;
    let pruned = Network::new(cut.graph.clone(), tensors)?;

    let samples = train.map(first_samples).transpose()?;
    let equivalence = oracle::check(index, original, &cut, &pruned, samples, task.spec.seed)?;
    let difference = equivalence.max_abs_diff;
    task.messages.log(format!("candidate {index}: the surgery is exact, largest difference {difference:e}"));

    let pruned = match train {
        Some(train) => batch_norm::reestimate(pruned, train, task.spec.seed)?,
        None => pruned,
    };
    Ok((pruned, equivalence))
}

fn first_samples(split: &Split) -> Result<Tensor, Error> {
    split.range(0..split.count().min(ORACLE_SAMPLES))
}

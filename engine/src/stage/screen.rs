//! Physical surgery on each candidate of the shard, proved by the oracle, repaired by BN recalibration, measured.

use secateur_core::candidate::Candidate;
use secateur_core::report::Equivalence;
use secateur_core::task::{ScreenResult, Screened, TaskResult, file};
use tch::Tensor;

use super::{Finished, Task};
use crate::data::{Split, SplitName};
use crate::error::Error;
use crate::network::Network;
use crate::{cut, evaluate, oracle, recalibrate, weights};

/// Samples of the data set that the oracle compares on.
const ORACLE_SAMPLES: i64 = 16;

pub fn run(task: &Task, candidates: &[usize]) -> Result<Finished, Error> {
    let original = task.original()?;
    let splits = match task.data(original.graph())? {
        Some(data) => Some(Splits { train: data.split(SplitName::Train)?, val: data.split(SplitName::Val)? }),
        None => None,
    };
    let mut progress = task.messages.count(candidates.len() as u64, "candidates");
    let mut screened = Vec::with_capacity(candidates.len());
    for &index in candidates {
        let found = screen(task, &original, splits.as_ref(), index)?;
        if let Some(accuracy) = found.accuracy {
            progress.note(format!("candidate {index}: validation accuracy {accuracy:.4}"));
        } else if let Some(agreement) = found.agreement {
            progress.note(format!("candidate {index}: agreement with the original {agreement:.4}"));
        }
        screened.push(found);
        progress.advance();
    }
    let files: Vec<String> = candidates.iter().map(|&index| file::screened(index)).collect();
    Ok(Finished::new(TaskResult::Screen(ScreenResult { screened }), files))
}

struct Splits {
    train: Split,
    val: Split,
}

/// The weights that a candidate has after the screen: from the screen's file or, where an earlier job's result was taken
/// over and there is none, made again in the same way.
pub fn weights_after(
    task: &Task,
    original: &Network,
    candidate: &Candidate,
    train: Option<&Split>,
) -> Result<Vec<Tensor>, Error> {
    let path = task.path(&file::screened(candidate.index));
    if path.exists() {
        return weights::load(&path, &task.cut(original.graph(), candidate)?.graph, task.device);
    }
    let (pruned, _) = cut_and_recalibrated(task, original, candidate, train)?;
    Ok(pruned.into_parts().1)
}

/// The cut network, proved by the oracle, with new batch norm statistics when there are samples.
fn cut_and_recalibrated(
    task: &Task,
    original: &Network,
    candidate: &Candidate,
    train: Option<&Split>,
) -> Result<(Network, Equivalence), Error> {
    let index = candidate.index;
    let cut = task.cut(original.graph(), candidate)?;
    let tensors = cut::apply(original.graph(), &cut, original.weights())?;
    let pruned = Network::new(cut.graph.clone(), tensors)?;

    let samples = train.map(first_samples).transpose()?;
    let equivalence = oracle::check(index, original, &cut, &pruned, samples, task.spec.seed)?;
    let difference = equivalence.max_abs_diff;
    task.messages.log(format!("candidate {index}: the surgery is exact, largest difference {difference:e}"));

    let pruned = match train {
        Some(train) => recalibrate::batch_norm(pruned, train, task.spec.seed)?,
        None => pruned,
    };
    Ok((pruned, equivalence))
}

fn screen(task: &Task, original: &Network, splits: Option<&Splits>, index: usize) -> Result<Screened, Error> {
    let train = splits.map(|splits| &splits.train);
    let (pruned, equivalence) = cut_and_recalibrated(task, original, &task.candidate(index)?, train)?;
    weights::save(&task.path(&file::screened(index)), pruned.graph(), pruned.weights())?;

    let accuracy = match splits {
        Some(splits) => evaluate::accuracy(&pruned, &splits.val)?,
        None => None,
    };
    let agreement = match splits {
        Some(splits) if accuracy.is_none() => Some(evaluate::agreement(
            &evaluate::logits(&pruned, &splits.val)?,
            &evaluate::logits(original, &splits.val)?,
        )?),
        _ => None,
    };
    Ok(Screened { candidate: index, equivalence, accuracy, agreement })
}

fn first_samples(split: &Split) -> Result<Tensor, Error> {
    split.range(0..split.count().min(ORACLE_SAMPLES))
}

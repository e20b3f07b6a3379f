//! Physical surgery on each candidate of the shard, proved by the oracle, repaired by BN recalibration, measured.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use secateur_core::candidate::{Candidate, Configuration};
use secateur_core::group::Grouping;
use secateur_core::importance::{Evidence, Importance};
use secateur_core::report::{ChannelChoice, Equivalence};
use secateur_core::spec::ImportanceSpec;
use secateur_core::statistics::Spread;
use secateur_core::task::{ScreenResult, Screened, TaskResult, file};
use tch::Tensor;

use super::{Finished, Task, importance};
use crate::data::{Split, SplitName};
use crate::error::Error;
use crate::network::Network;
use crate::{cut, evaluate, oracle, recalibrate, weights};

/// Samples of the data set that the oracle compares on.
const ORACLE_SAMPLES: i64 = 16;

pub fn run(task: &Task, candidates: &[usize], compared: Option<usize>) -> Result<Finished, Error> {
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
    let channel_choice = match (compared, &splits) {
        (Some(index), Some(splits)) => Some(compare_channels(task, &original, splits, index)?),
        _ => None,
    };
    let files: Vec<String> = candidates.iter().map(|&index| file::screened(index)).collect();
    Ok(Finished::new(TaskResult::Screen(ScreenResult { screened, channel_choice }), files))
}

struct Splits {
    train: Split,
    val: Split,
}

/// The weights of a candidate as the stages before have left them: from the first of `files` that is there or, where an earlier
/// job's screen was taken over and there is none, made again as the screen makes them.
pub fn weights_of(
    task: &Task,
    original: &Network,
    candidate: &Candidate,
    train: Option<&Split>,
    files: &[fn(usize) -> String],
) -> Result<Vec<Tensor>, Error> {
    if let Some(path) = files.iter().map(|file| task.path(&file(candidate.index))).find(|path| path.exists()) {
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

    let (accuracy, agreement) = match splits {
        Some(splits) => match measure(original, &pruned, &splits.val)? {
            Measured::Accuracy(accuracy) => (Some(accuracy), None),
            Measured::Agreement(agreement) => (None, Some(agreement)),
        },
        None => (None, None),
    };
    Ok(Screened { candidate: index, equivalence, accuracy, agreement })
}

/// What the screen compares networks by.
enum Measured {
    /// Validation accuracy.
    Accuracy(f64),
    /// Without labels the share of validation samples that get the same class as from the original.
    Agreement(f64),
}

fn measure(original: &Network, pruned: &Network, val: &Split) -> Result<Measured, Error> {
    Ok(match evaluate::accuracy(pruned, val)? {
        Some(accuracy) => Measured::Accuracy(accuracy),
        None => {
            let (own, others) = (evaluate::logits(pruned, val)?, evaluate::logits(original, val)?);
            Measured::Agreement(evaluate::agreement(&own, &others)?)
        }
    })
}

/// The widths of one candidate with the channels of largest L1 norm, with the first of the job's order, and with random ones.
fn compare_channels(task: &Task, original: &Network, splits: &Splits, index: usize) -> Result<ChannelChoice, Error> {
    let graph = original.graph();
    let grouping = Grouping::of(graph);
    let widths = task.candidate(index)?.configuration.widths();
    let value = |configuration: Configuration| -> Result<f64, Error> {
        let network = cut::network(original, &grouping, &configuration)?;
        let network = recalibrate::batch_norm(network, &splits.train, task.spec.seed)?;
        let (Measured::Accuracy(value) | Measured::Agreement(value)) = measure(original, &network, &splits.val)?;
        Ok(value)
    };

    let host = weights::to_host(graph, original.weights())?;
    let evidence = Evidence { graph, grouping: &grouping, weights: &host, saliency: None };
    let by_l1 = Importance::measure(&evidence, ImportanceSpec::default());
    let l1 = value(Configuration::by_importance(&by_l1, &widths))?;
    let own = if task.spec.importance == ImportanceSpec::default() {
        l1
    } else {
        value(Configuration::by_importance(&importance::order(task, graph, &grouping, &host)?, &widths))?
    };
    let mut generator = ChaCha8Rng::seed_from_u64(task.spec.seed);
    let random: Vec<f64> = (0..ChannelChoice::DRAWS)
        .map(|_| value(Configuration::random(&grouping, &widths, &mut generator)))
        .collect::<Result<_, _>>()?;
    let random = Spread::of(&random).expect("there are draws");
    let measure = if splits.val.labels().is_some() { "accuracy" } else { "agreement" };
    task.messages.log(format!(
        "channels at the widths of candidate {index}: {measure} {l1:.4} by L1, {:.4} ± {:.4} at random",
        random.mean, random.std
    ));
    Ok(ChannelChoice {
        candidate: index,
        measure: measure.to_owned(),
        l1,
        own,
        own_criterion: task.spec.importance.criterion,
        l1_gap: l1 - random.mean,
        random,
    })
}

fn first_samples(split: &Split) -> Result<Tensor, Error> {
    split.range(0..split.count().min(ORACLE_SAMPLES))
}

//! A candidate's network: cut, proved, and measured.

use secateur_core::configuration::{Candidate, Configuration};
use secateur_core::graph::Graph;
use secateur_core::group::Grouping;
use secateur_core::recovery::{ClosedFormResult, Score};
use secateur_core::spec::{ClosedForm, RecoverySpec};
use secateur_core::surgery::{self, Cut, Equivalence};
use tch::Tensor;

use super::task::Task;
use crate::data::{Split, SplitName};
use crate::error::Error;
use crate::measure::batch_norm;
use crate::measure::evaluate::Validator;
use crate::network::{self, Network, weights};
use crate::output::Outputs;
use crate::proof::oracle;
use crate::reconstruction::{Reconstruction, reconstruct};

/// Batches on which batch norm statistics are first estimated for a network that has been repaired too: enough to tell which of the two is
/// better, and nearly always it is the repaired one.
const TRIAL_BATCHES: usize = 4;

/// Samples of the data set that the oracle compares on.
const ORACLE_SAMPLES: i64 = 16;

/// The cut of a candidate's channels.
pub(super) fn cut(graph: &Graph, candidate: &Candidate) -> Result<Cut, Error> {
    cut_to(graph, candidate.index, &candidate.configuration)
}

fn cut_to(graph: &Graph, index: usize, configuration: &Configuration) -> Result<Cut, Error> {
    surgery::cut(graph, &Grouping::of(graph), configuration)
        .map_err(|error| Error::internal(format!("candidate {index}: {error}")))
}

/// The splits that candidates are repaired, trained and measured on, and what is measured.
pub(super) struct Ground {
    pub(super) outputs: Outputs,
    pub(super) train: Split,
    pub(super) val: Split,
}

impl Ground {
    /// `None` without a data set.
    pub(super) fn of(task: &Task, original: &Network) -> Result<Option<Self>, Error> {
        let Some(data) = task.data(original.graph())? else { return Ok(None) };
        let (train, val) = (data.split(SplitName::Train)?, data.split(SplitName::Val)?);
        drop(data);
        let outputs = task.outputs(original, &train)?;
        Ok(Some(Self { outputs, train, val }))
    }

    /// For a stage that no job without a data set has.
    pub(super) fn needed(task: &Task, original: &Network) -> Result<Self, Error> {
        Self::of(task, original)?.ok_or_else(|| Error::internal("a task without the data set that it needs"))
    }

    pub(super) fn validator<'a>(&'a self, original: &'a Network) -> Result<Validator<'a>, Error> {
        Validator::new(original, &self.outputs, &self.val)
    }
}

/// A ground with what measures on it.
pub(super) type Measured<'a> = (&'a Ground, &'a Validator<'a>);

/// The weights of a candidate as the stages before have left them: from the first of `files` that is there or, where an earlier
/// job's screen was taken over and there is none, made again as the screen makes them.
pub(super) fn weights_of(
    task: &Task,
    original: &Network,
    candidate: &Candidate,
    ground: Option<Measured>,
    files: &[fn(usize) -> String],
) -> Result<Vec<Tensor>, Error> {
    if let Some(path) = files.iter().map(|file| task.path(&file(candidate.index))).find(|path| path.exists()) {
        return weights::load(&path, &cut(original.graph(), candidate)?.graph, task.device);
    }
    Ok(repaired(task, original, candidate.index, &candidate.configuration, ground)?.network.into_parts().1)
}

/// A network that was cut, proved and repaired, and what was measured of it.
pub(super) struct Repaired {
    pub(super) network: Network,
    pub(super) equivalence: Equivalence,
    /// `None` without a data set.
    pub(super) score: Option<Score>,
    pub(super) closed_form: Option<ClosedFormResult>,
}

/// A network cut to the configuration, for a candidate of this index: proved by the oracle and, when there are samples, repaired in closed form or given batch norm statistics of its own, as
/// the spec says.
pub(super) fn repaired(
    task: &Task,
    original: &Network,
    index: usize,
    configuration: &Configuration,
    ground: Option<Measured>,
) -> Result<Repaired, Error> {
    let cut = cut_to(original.graph(), index, configuration)?;
    let pruned = || Network::new(cut.graph.clone(), network::cut::apply(original.graph(), &cut, original.weights())?);
    let network = pruned()?;
    let samples = ground.map(|(ground, _)| first_samples(&ground.train)).transpose()?;
    let equivalence = oracle::check(index, original, &cut, &network, samples, task.spec.seed)?;
    let difference = equivalence.max_abs_diff;
    task.messages.log(format!("candidate {index}: the surgery is exact, largest difference {difference:e}"));

    let Some((Ground { train, .. }, validator)) = ground else {
        return Ok(Repaired { network, equivalence, score: None, closed_form: None });
    };
    let RecoverySpec { closed_form, samples } = &task.spec.recovery;
    let seed = task.spec.seed;
    let fitted = match closed_form {
        ClosedForm::Never => None,
        ClosedForm::Always | ClosedForm::Auto => {
            let (repaired, found) = reconstruct(original, &cut, pruned()?, train, samples.get() as i64, seed)?;
            let score = validator.score(&repaired)?;
            Some((repaired, found, score))
        }
    };
    let scored = |network: Network| -> Result<(Network, Score), Error> {
        let score = validator.score(&network)?;
        Ok((network, score))
    };
    let with_statistics = |network: Network| scored(batch_norm::reestimate(network, train, seed)?);
    let plain = match &fitted {
        Some((_, found, _)) if found.layers > 0 && *closed_form == ClosedForm::Always => None,
        Some((_, found, fitted)) if found.layers > 0 => {
            let (network, score) = scored(batch_norm::reestimate_on(network, train, seed, TRIAL_BATCHES)?)?;
            Some(if score.is_better_than(fitted) { with_statistics(network)? } else { (network, score) })
        }
        _ => Some(with_statistics(network)?),
    };
    let result = |found: Reconstruction, used: bool, score: &Score, plain: Option<Score>| ClosedFormResult {
        used,
        layers: found.layers as u32,
        left: found.left as u32,
        samples: found.samples as u32,
        repaired: score.value(),
        without: plain.and_then(|score| score.value()),
    };
    Ok(match (fitted, plain) {
        (Some((fitted, found, score)), Some((_, plain))) if found.layers > 0 && !plain.is_better_than(&score) => {
            let closed_form = Some(result(found, true, &score, Some(plain)));
            Repaired { network: fitted, equivalence, score: Some(score), closed_form }
        }
        (Some((fitted, found, score)), None) => {
            let closed_form = Some(result(found, true, &score, None));
            Repaired { network: fitted, equivalence, score: Some(score), closed_form }
        }
        (fitted, Some((network, plain))) => {
            let closed_form = fitted.map(|(_, found, score)| result(found, false, &score, Some(plain)));
            Repaired { network, equivalence, score: Some(plain), closed_form }
        }
        (None, None) => return Err(Error::internal("a network that was repaired in no way")),
    })
}

fn first_samples(split: &Split) -> Result<Vec<Tensor>, Error> {
    split.range(0..split.count().min(ORACLE_SAMPLES))
}

//! How much groups matter to the outputs, each of the shard's at one width; needs samples, no labels.

use secateur_core::group::Grouping;
use secateur_core::search::additive::Probe;
use secateur_core::task::{SensitivityResult, TaskResult};

use super::{Finished, Task, importance};
use crate::data::SplitName;
use crate::distortion::Judge;
use crate::error::Error;
use crate::weights;

pub fn run(task: &Task, probes: &[Probe]) -> Result<Finished, Error> {
    let original = task.original()?;
    let data = task.data(original.graph())?.ok_or_else(|| Error::internal("a sensitivity task without a data set"))?;
    let train = data.split(SplitName::Train)?;
    let grouping = Grouping::of(original.graph());
    let host = weights::to_host(original.graph(), original.weights())?;
    let importance = importance::order(task, original.graph(), &grouping, &host)?;
    let judge = Judge::new(&original, &grouping, &train, task.spec.seed)?;

    let mut progress = task.messages.count(probes.len() as u64, "measurements");
    let mut measured = Vec::with_capacity(probes.len());
    for &probe in probes {
        measured.push(judge.sensitivity(&importance, probe)?);
        progress.advance();
    }
    Ok(Finished::new(TaskResult::Sensitivity(SensitivityResult { measured }), [] as [&str; 0]))
}

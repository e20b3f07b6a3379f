//! How much each group of the shard matters to the outputs; needs samples, no labels.

use secateur_core::candidate::Limits;
use secateur_core::group::Grouping;
use secateur_core::task::{SensitivityResult, TaskResult};

use super::{Finished, Task, importance};
use crate::data::SplitName;
use crate::distortion::Judge;
use crate::error::Error;
use crate::weights;

pub fn run(task: &Task, groups: &[usize]) -> Result<Finished, Error> {
    let original = task.original()?;
    let data = task.data(original.graph())?.ok_or_else(|| Error::internal("a sensitivity task without a data set"))?;
    let train = data.split(SplitName::Train)?;
    let grouping = Grouping::of(original.graph());
    let host = weights::to_host(original.graph(), original.weights())?;
    let importance = importance::order(task, original.graph(), &grouping, &host)?;
    let limits = Limits::new(original.graph(), &grouping, &task.spec.constraints)?;
    let judge = Judge::new(&original, &grouping, &train, task.spec.seed)?;

    let mut progress = task.messages.count(groups.len() as u64, "groups");
    let mut measured = Vec::new();
    for &group in groups {
        measured.extend(judge.sensitivity(&importance, &limits, group)?);
        progress.advance();
    }
    Ok(Finished::new(TaskResult::Sensitivity(SensitivityResult { measured }), [] as [&str; 0]))
}

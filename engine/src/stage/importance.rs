//! Gradients for a criterion that needs them, and the canonical order of channels for every stage that uses it.

use secateur_core::graph::Graph;
use secateur_core::group::Grouping;
use secateur_core::importance::{Evidence, Importance, Weights};
use secateur_core::task::{ImportanceResult, TaskResult, file};

use super::{Finished, Task};
use crate::data::SplitName;
use crate::error::Error;
use crate::taylor::{self, Saliency};
use crate::weights;

pub fn run(task: &Task) -> Result<Finished, Error> {
    let original = task.original()?;
    let data = task.data(original.graph())?.ok_or_else(|| Error::internal("an importance task without a data set"))?;
    let train = data.split(SplitName::Train)?;
    let Saliency { tensors, samples, loss } = taylor::saliency(&original, &train, task.spec.seed, task.messages)?;
    weights::save(&task.path(file::IMPORTANCE), original.graph(), &tensors)?;
    task.messages.log(format!("importance: gradients on {samples} samples, loss {loss:.4}"));
    Ok(Finished::new(TaskResult::Importance(ImportanceResult { samples, loss }), [file::IMPORTANCE]))
}

/// The canonical order by the spec's criterion.
pub fn order(task: &Task, graph: &Graph, grouping: &Grouping, host: &Weights) -> Result<Importance, Error> {
    let spec = task.spec.importance;
    let saliency = if spec.criterion.needs_data() {
        let tensors = weights::load(&task.path(file::IMPORTANCE), graph, tch::Device::Cpu)?;
        Some(weights::to_host(graph, &tensors)?)
    } else {
        None
    };
    let evidence = Evidence { graph, grouping, weights: host, saliency: saliency.as_ref() };
    Ok(Importance::measure(&evidence, spec))
}

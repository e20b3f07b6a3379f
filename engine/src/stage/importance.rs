//! Gradients for a criterion that needs them, and the canonical order of channels for every stage that uses it.

use secateur_core::graph::Graph;
use secateur_core::group::Grouping;
use secateur_core::importance::{Evidence, Importance, Weights};
use secateur_core::stage::importance::{IMPORTANCE, ImportanceResult};

use super::task::Task;
use crate::data::SplitName;
use crate::error::Error;
use crate::measure::taylor::{self, Saliency};
use crate::network::weights;

/// Takes the gradients.
///
/// # Errors
/// libtorch's.
pub(super) fn run(task: &Task, _work: &()) -> Result<ImportanceResult, Error> {
    let original = task.original()?;
    let data = task.data(original.graph())?.ok_or_else(|| Error::internal("an importance task without a data set"))?;
    let train = data.split(SplitName::Train)?;
    let Saliency { tensors, samples, loss } =
        taylor::saliency(&original, &task.outputs(&original, &train)?, &train, task.spec.seed, task.messages)?;
    weights::save(&task.path(IMPORTANCE), original.graph(), &tensors)?;
    task.messages.log(format!("importance: gradients on {samples} samples, loss {loss:.4}"));
    Ok(ImportanceResult { samples, loss })
}

/// The canonical order by the spec's criterion.
pub(super) fn order(task: &Task, graph: &Graph, grouping: &Grouping, host: &Weights) -> Result<Importance, Error> {
    let spec = task.spec.importance;
    let saliency = if spec.criterion.needs_data() {
        let tensors = weights::load(&task.path(IMPORTANCE), graph, tch::Device::Cpu)?;
        Some(weights::to_host(graph, &tensors)?)
    } else {
        None
    };
    let evidence = Evidence { graph, grouping, weights: host, saliency: saliency.as_ref() };
    Ok(Importance::measure(&evidence, spec))
}

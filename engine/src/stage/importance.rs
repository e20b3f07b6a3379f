//! What a criterion measures on samples, and the canonical order of channels for every stage that uses it.

use std::collections::HashMap;

use secateur_core::graph::Graph;
use secateur_core::group::Grouping;
use secateur_core::importance::{Criterion, Evidence, Importance, OnSamples, Weights};
use secateur_core::stage::importance::{IMPORTANCE, ImportanceResult};
use tch::{Device, Tensor};

use super::task::Task;
use crate::data::{Split, SplitName};
use crate::error::Error;
use crate::measure::taylor::{self, Saliency};
use crate::network::{Network, weights};
use crate::reconstruction::elimination::Eliminator;

/// Measures what the criterion needs.
///
/// # Errors
/// libtorch's.
pub(super) fn run(task: &Task, _work: &()) -> Result<ImportanceResult, Error> {
    let original = task.original()?;
    let data = task.data(original.graph())?.ok_or_else(|| Error::internal("an importance task without a data set"))?;
    let train = data.split(SplitName::Train)?;
    if task.spec.importance.criterion == Criterion::Reconstruction {
        return losses(task, &original, &train);
    }
    let Saliency { tensors, samples, loss } =
        taylor::saliency(&original, &task.outputs(&original, &train)?, &train, task.spec.seed, task.messages)?;
    weights::save(&task.path(IMPORTANCE), original.graph(), &tensors)?;
    task.messages.log(format!("importance: gradients on {samples} samples, loss {loss:.4}"));
    Ok(ImportanceResult { samples, loss: Some(loss) })
}

/// What the layers that read a group have lost once each of its channels has gone, for every group that such layers read.
fn losses(task: &Task, original: &Network, train: &Split) -> Result<ImportanceResult, Error> {
    let grouping = Grouping::of(original.graph());
    let most_samples = task.spec.recovery.samples.get() as i64;
    let eliminator = Eliminator { original, grouping: &grouping, split: train, most_samples, seed: task.spec.seed };
    let mut progress = task.messages.count(grouping.groups().len() as u64, "groups");
    let mut found: Vec<(String, Tensor)> = Vec::new();
    for (index, group) in grouping.groups().iter().enumerate() {
        if let Some(elimination) = eliminator.eliminate(index)? {
            found.push((group.name.clone(), Tensor::f_from_slice(&elimination.losses())?));
        }
        progress.advance();
    }
    let samples = train.count().min(most_samples) as u64;
    task.messages.log(format!("importance: what readers of {} groups lose, on {samples} samples at most", found.len()));
    weights::save_named(&task.path(IMPORTANCE), found.iter().map(|(name, losses)| (name.as_str(), losses)))?;
    Ok(ImportanceResult { samples, loss: None })
}

/// The canonical order by the spec's criterion.
pub(super) fn order(task: &Task, graph: &Graph, grouping: &Grouping, host: &Weights) -> Result<Importance, Error> {
    let spec = task.spec.importance;
    let path = task.path(IMPORTANCE);
    let (saliency, losses);
    let on_samples = match spec.criterion {
        Criterion::Taylor => {
            saliency = weights::to_host(graph, &weights::load(&path, graph, Device::Cpu)?)?;
            OnSamples::Saliency(&saliency)
        }
        // A job without a data set has none.
        Criterion::Reconstruction if path.exists() => {
            let named = weights::load_named(&path, Device::Cpu)?.into_iter();
            let numbers = named.map(|(name, tensor)| Ok((name, Vec::<f64>::try_from(&tensor)?)));
            losses = numbers.collect::<Result<HashMap<String, Vec<f64>>, Error>>()?;
            OnSamples::Losses(&losses)
        }
        _ => OnSamples::Nothing,
    };
    Ok(Importance::measure(&Evidence { graph, grouping, weights: host, on_samples }, spec))
}

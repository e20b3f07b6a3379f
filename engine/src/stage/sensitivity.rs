//! How much groups matter to the outputs, each of the shard's at one width; needs samples, no labels.

use secateur_core::group::Grouping;
use secateur_core::stage::sensitivity::{SensitivityResult, SensitivityWork};

use super::importance;
use super::task::Task;
use crate::data::SplitName;
use crate::error::Error;
use crate::measure::distortion::DivergenceMeter;
use crate::network::weights;

/// Measures a part of the sensitivities.
///
/// # Errors
/// libtorch's.
pub(super) fn run(task: &Task, work: &SensitivityWork) -> Result<SensitivityResult, Error> {
    let probes = &work.probes;
    let original = task.original()?;
    let data = task.data(original.graph())?.ok_or_else(|| Error::internal("a sensitivity task without a data set"))?;
    let train = data.split(SplitName::Train)?;
    let grouping = Grouping::of(original.graph());
    let host = weights::to_host(original.graph(), original.weights())?;
    let importance = importance::order(task, original.graph(), &grouping, &host)?;
    let outputs = task.outputs(&original, &train)?;
    let meter =
        DivergenceMeter::new(&original, &outputs, &grouping, &train, (&task.spec.recovery).into(), task.spec.seed)?;

    let mut progress = task.messages.count(probes.len() as u64, "measurements");
    let mut measured = Vec::with_capacity(probes.len());
    for &probe in probes {
        measured.push(meter.sensitivity(&importance, probe)?);
        progress.advance();
    }
    Ok(SensitivityResult { measured })
}

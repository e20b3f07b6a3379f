//! A shard of the calibration sample: random configurations, cut, repaired without training and measured.

use secateur_core::configuration::Limits;
use secateur_core::group::Grouping;
use secateur_core::latency;
use secateur_core::search::proposal::configuration;
use secateur_core::search::ranking::regression::{self, Sampled};
use secateur_core::search::space::{Band, Space};
use secateur_core::stage::calibration::{CalibrationResult, CalibrationWork};

use super::importance;
use super::task::Task;
use crate::data::SplitName;
use crate::error::Error;
use crate::measure::distortion::DivergenceMeter;
use crate::measure::evaluate;
use crate::network::weights;

/// Measures a part of the calibration sample.
///
/// # Errors
/// libtorch's.
pub(super) fn run(task: &Task, work: &CalibrationWork) -> Result<CalibrationResult, Error> {
    let CalibrationWork { sample, latency } = work;
    let original = task.original()?;
    let data = task.data(original.graph())?.ok_or_else(|| Error::internal("a calibration task without a data set"))?;
    let (train, val) = (data.split(SplitName::Train)?, data.split(SplitName::Val)?);
    let grouping = Grouping::of(original.graph());
    let host = weights::to_host(original.graph(), original.weights())?;
    let importance = importance::order(task, original.graph(), &grouping, &host)?;
    let costs = latency::costs(original.graph(), &grouping, latency.as_deref());
    let limits = Limits::new(original.graph(), &grouping, &task.spec.constraints)?;
    let space = Space::new(&costs, &limits, task.spec.target.metric, task.spec.search.rate_step);
    let outputs = task.outputs(&original, &train)?;
    let meter =
        DivergenceMeter::new(&original, &outputs, &grouping, &train, (&task.spec.recovery).into(), task.spec.seed)?;
    let band = Band::of_target(task.spec.target.reduction);

    let mut progress = task.messages.count(sample.len() as u64, "configurations");
    let mut measured = Vec::with_capacity(sample.len());
    for index in sample.clone() {
        if let Some(levels) = regression::draw(&space, band, task.spec.seed, index) {
            let network = meter.network(&configuration(&space, &importance, &levels))?;
            measured.push(Sampled {
                index,
                widths: space.kept(&levels),
                accuracy: evaluate::with_labels(&network, &val)?.map(|judged| judged.value),
                divergence: meter.divergence(&network)?,
            });
        }
        progress.advance();
    }
    Ok(CalibrationResult { measured })
}

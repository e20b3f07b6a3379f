//! A shard of the calibration sample: random configurations cut, recalibrated and measured.

use std::ops::Range;

use secateur_core::candidate::Limits;
use secateur_core::group::Grouping;
use secateur_core::latency::{self, LatencyTable};
use secateur_core::search::calibration::{self, Sampled};
use secateur_core::search::proposal::configuration;
use secateur_core::search::space::{Band, Space};
use secateur_core::task::{CalibrationResult, TaskResult};

use super::{Finished, Task, importance};
use crate::data::SplitName;
use crate::distortion::Judge;
use crate::error::Error;
use crate::{evaluate, weights};

pub fn run(task: &Task, sample: Range<usize>, latency: Option<&LatencyTable>) -> Result<Finished, Error> {
    let original = task.original()?;
    let data = task.data(original.graph())?.ok_or_else(|| Error::internal("a calibration task without a data set"))?;
    let (train, val) = (data.split(SplitName::Train)?, data.split(SplitName::Val)?);
    let grouping = Grouping::of(original.graph());
    let host = weights::to_host(original.graph(), original.weights())?;
    let importance = importance::order(task, original.graph(), &grouping, &host)?;
    let costs = latency::costs(original.graph(), &grouping, latency);
    let limits = Limits::new(original.graph(), &grouping, &task.spec.constraints)?;
    let space = Space::new(&costs, &limits, task.spec.target.metric, task.spec.search.rate_step);
    let judge = Judge::new(&original, &grouping, &train, task.spec.seed)?;
    let band = Band::of_target(task.spec.target.reduction);

    let mut progress = task.messages.count(sample.len() as u64, "configurations");
    let mut measured = Vec::with_capacity(sample.len());
    for index in sample {
        if let Some(levels) = calibration::draw(&space, band, task.spec.seed, index) {
            let network = judge.network(&configuration(&space, &importance, &levels))?;
            measured.push(Sampled {
                index,
                widths: space.kept(&levels),
                accuracy: evaluate::accuracy(&network, &val)?,
                divergence: judge.divergence(&network)?,
            });
        }
        progress.advance();
    }
    Ok(Finished::new(TaskResult::Calibration(CalibrationResult { measured }), [] as [&str; 0]))
}

//! The stage `calibration`: a sample of configurations is measured, for an encoder that is fitted to them. With `sacp`, the objective
//! `regression` and a data set only.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::definition::Definition;
use super::job::{JobView, PlanError, PlannedTask, sharded};
use super::measurement::Measurements;
use super::{Stage, Work, import};
use crate::latency::LatencyTable;
use crate::search::ranking::regression::Sampled;
use crate::spec::{EncoderObjective, JobSpec, Method};

/// Configurations that one task measures: about a minute's work, so that starting a process and loading data do not count.
const SAMPLES_PER_TASK: usize = 32;

/// The stage.
pub struct Calibration;

/// Which configurations of the sample a task measures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CalibrationWork {
    /// Their numbers.
    pub sample: Range<usize>,
    /// With a latency target only.
    #[serde(default)]
    pub latency: Option<Box<LatencyTable>>,
}

/// The configurations that were measured; one that could not be drawn is left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CalibrationResult {
    /// In the order of their numbers.
    pub measured: Vec<Sampled>,
}

impl JobView<'_> {
    /// The calibration sample as far as it could be drawn, by number.
    pub(super) fn calibration(self) -> Vec<Sampled> {
        let results = self.results::<CalibrationResult>(Stage::Calibration);
        let mut all: Vec<Sampled> = results.flat_map(|(_, result)| result.measured.iter().cloned()).collect();
        all.sort_by_key(|sampled| sampled.index);
        all
    }
}

impl Definition for Calibration {
    type Work = CalibrationWork;
    type Result = CalibrationResult;

    fn is_part_of(spec: &JobSpec, has_dataset: bool) -> bool {
        spec.method == Method::Sacp && has_dataset && spec.encoder.objective == EncoderObjective::Regression
    }

    fn plan(job: JobView<'_>, _reused: &Measurements) -> Result<Vec<PlannedTask>, PlanError> {
        let latency = job.latency_table(Stage::Calibration)?.cloned().map(Box::new);
        let all: Vec<usize> = (0..job.spec.encoder.samples.get()).collect();
        let task = |(index, shard): (usize, &[usize])| PlannedTask {
            index,
            work: Work::Calibration(CalibrationWork {
                sample: shard[0]..shard[0] + shard.len(),
                latency: latency.clone(),
            }),
            inputs: import::network().into_iter().chain(job.importance()).chain(job.dataset()).collect(),
        };
        Ok(sharded(&all, SAMPLES_PER_TASK).map(task).collect())
    }

    fn files(_work: &CalibrationWork) -> Vec<String> {
        Vec::new()
    }

    #[cfg(any(test, feature = "testing"))]
    fn sample(_work: &CalibrationWork) -> CalibrationResult {
        CalibrationResult { measured: Vec::new() }
    }
}

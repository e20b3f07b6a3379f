//! The stage `latency`: a table of the layers' latency at many widths, measured on the worker. With a latency target only.

use serde::{Deserialize, Serialize};

use super::definition::Definition;
use super::job::{JobView, PlanError, PlannedTask};
use super::measurement::Measurements;
use super::{Stage, Work, import};
use crate::cost::Metric;
use crate::latency::LatencyTable;
use crate::spec::JobSpec;

/// The stage.
pub struct Latency;

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LatencyResult {
    /// The fitted table.
    pub table: Box<LatencyTable>,
    /// Largest share of the latency that the constraints allow to remove, as the table predicts.
    pub reachable: f64,
}

impl<'a> JobView<'a> {
    /// The latency table; `None` without a latency target.
    ///
    /// # Errors
    /// The target is a latency and the table is not there; `stage` is the one that wants it.
    pub(super) fn latency_table(self, stage: Stage) -> Result<Option<&'a LatencyTable>, PlanError> {
        match self.result::<LatencyResult>(Stage::Latency) {
            None if self.spec.target.metric == Metric::Latency => Err(PlanError { stage, missing: "latency" }),
            result => Ok(result.map(|result| result.table.as_ref())),
        }
    }
}

impl Definition for Latency {
    type Work = ();
    type Result = LatencyResult;

    const TIMES_NETWORKS: bool = true;

    fn is_part_of(spec: &JobSpec, _has_dataset: bool) -> bool {
        spec.target.metric == Metric::Latency
    }

    fn plan(_job: JobView<'_>, _reused: &Measurements) -> Result<Vec<PlannedTask>, PlanError> {
        Ok(PlannedTask::only(Work::Latency(()), import::network()))
    }

    fn files(_work: &()) -> Vec<String> {
        Vec::new()
    }

    #[cfg(any(test, feature = "testing"))]
    fn sample(_work: &()) -> LatencyResult {
        LatencyResult { table: Box::new(LatencyTable::sample()), reachable: 0.9 }
    }
}

//! The stage `importance`: what a criterion measures on samples, for those that do. With `sacp` and a data set only.

use serde::{Deserialize, Serialize};

use super::definition::Definition;
use super::job::{Input, JobView, PlanError, PlannedTask};
use super::measurement::Measurements;
use super::{Stage, Work, import};
use crate::spec::{JobSpec, Method};

/// For `taylor` the mean |weight · gradient| of every weight, by the original names; for `reconstruction` what is lost once each channel of a
/// group has gone, float64, by the names of the groups.
pub const IMPORTANCE: &str = "importance.safetensors";

/// The stage.
pub struct Importance;

/// What was measured on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ImportanceResult {
    /// So many samples, at the most.
    pub samples: u64,
    /// Mean of the loss over them, where gradients were taken.
    pub loss: Option<f64>,
}

impl JobView<'_> {
    /// What was measured as an input, where the job has it.
    pub(super) fn importance(self) -> Option<Input> {
        self.result::<ImportanceResult>(Stage::Importance).map(|_| Input::output(Stage::Importance, 0, IMPORTANCE))
    }
}

impl Definition for Importance {
    type Work = ();
    type Result = ImportanceResult;

    fn is_part_of(spec: &JobSpec, has_dataset: bool) -> bool {
        spec.method == Method::Sacp && has_dataset && spec.importance.criterion.is_measured()
    }

    fn plan(job: JobView<'_>, _reused: &Measurements) -> Result<Vec<PlannedTask>, PlanError> {
        Ok(PlannedTask::only(Work::Importance(()), import::network().into_iter().chain(job.dataset())))
    }

    fn files(_work: &()) -> Vec<String> {
        vec![IMPORTANCE.to_owned()]
    }

    #[cfg(any(test, feature = "testing"))]
    fn sample(_work: &()) -> ImportanceResult {
        ImportanceResult { samples: 8, loss: Some(0.5) }
    }
}

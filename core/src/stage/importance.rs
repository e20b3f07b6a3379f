//! The stage `importance`: gradients on samples, for a criterion that needs them. With `sacp` and a data set only.

use serde::{Deserialize, Serialize};

use super::definition::Definition;
use super::job::{Input, JobView, PlanError, PlannedTask};
use super::measurement::Measurements;
use super::{Stage, Work, import};
use crate::spec::{JobSpec, Method};

/// Mean |weight · gradient| of every weight, by the original names.
pub const IMPORTANCE: &str = "importance.safetensors";

/// The stage.
pub struct Importance;

/// What the gradients were taken on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ImportanceResult {
    /// Samples on which gradients were taken.
    pub samples: u64,
    /// Mean of the loss over them.
    pub loss: f64,
}

impl JobView<'_> {
    /// The gradients as an input, where the job has them.
    pub(super) fn importance(self) -> Option<Input> {
        self.result::<ImportanceResult>(Stage::Importance).map(|_| Input::output(Stage::Importance, 0, IMPORTANCE))
    }
}

impl Definition for Importance {
    type Work = ();
    type Result = ImportanceResult;

    fn is_part_of(spec: &JobSpec, has_dataset: bool) -> bool {
        spec.method == Method::Sacp && has_dataset && spec.importance.criterion.needs_data()
    }

    fn plan(job: JobView<'_>, _reused: &Measurements) -> Result<Vec<PlannedTask>, PlanError> {
        Ok(PlannedTask::only(Work::Importance(()), import::network().into_iter().chain(job.dataset())))
    }

    fn files(_work: &()) -> Vec<String> {
        vec![IMPORTANCE.to_owned()]
    }

    #[cfg(any(test, feature = "testing"))]
    fn sample(_work: &()) -> ImportanceResult {
        ImportanceResult { samples: 8, loss: 0.5 }
    }
}

//! The stage `repair`: every screened network gets a few steps of distillation. With `sacp` and fine-tuning only.

use serde::{Deserialize, Serialize};

use super::definition::Definition;
use super::job::{JobView, PlanError, PlannedTask};
use super::measurement::Measurements;
use super::rung::{self, RungResult};
use super::{Stage, Work};
use crate::spec::JobSpec;

/// Candidates that one task trains.
const CANDIDATES_PER_TASK: usize = 16;

/// The tensors of a candidate after its repair.
pub fn repaired_weights(candidate: usize) -> String {
    format!("repaired-{candidate}.safetensors")
}

/// The stage.
pub struct Repair;

/// Which candidates a task trains.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RepairWork {
    /// Their indices. Weights of the screen that are not there, because the screen of an earlier job was taken over, are made
    /// again.
    pub candidates: Vec<usize>,
}

impl Definition for Repair {
    type Work = RepairWork;
    type Result = RungResult;

    fn is_part_of(spec: &JobSpec, has_dataset: bool) -> bool {
        rung::halves(spec, has_dataset) && spec.repair_steps() > 0
    }

    fn plan(job: JobView<'_>, _reused: &Measurements) -> Result<Vec<PlannedTask>, PlanError> {
        let mut contenders = job.ranked(&[]);
        contenders.sort_by_key(|contender| contender.candidate);
        rung::tasks(Stage::Repair, job, &contenders, CANDIDATES_PER_TASK, |candidates| {
            Work::Repair(RepairWork { candidates })
        })
    }

    fn files(work: &RepairWork) -> Vec<String> {
        work.candidates.iter().copied().map(repaired_weights).collect()
    }

    #[cfg(any(test, feature = "testing"))]
    fn sample(work: &RepairWork) -> RungResult {
        RungResult::sample(&work.candidates, 0.55)
    }
}

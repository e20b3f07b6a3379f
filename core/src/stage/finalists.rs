//! The stage `finalists`: every network that may win is written as TorchScript, for a judge outside to try. With `judge` only.
//!
//! A network that the export would refuse for `target.max_metric_drop` may not win. Where all are such there is nothing to judge.

use serde::{Deserialize, Serialize};

use super::definition::Definition;
use super::job::{JobView, PlanError, PlannedTask};
use super::measurement::Measurements;
use super::tune::Choice;
use super::{Stage, Work, export};
use crate::spec::JobSpec;

/// A finalist as a TorchScript archive, written as the winner will be.
pub fn finalist_model(candidate: usize) -> String {
    format!("finalist-{candidate}.pt")
}

/// The stage.
pub struct Finalists;

/// Which network a task writes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FinalistsWork {
    /// Its index.
    pub candidate: usize,
    /// Whether its weights are those of the stage `tune`, else of the stage `screen`.
    pub tuned: bool,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FinalistsResult {
    /// The index of the network.
    pub candidate: usize,
}

impl JobView<'_> {
    /// Whether the validation metric fell by no more than `target.max_metric_drop` allows. What is not known, the export finds out.
    fn keeps_enough(self, choice: &Choice) -> bool {
        let Some(allowed) = self.spec.target.max_metric_drop else { return true };
        let tuned = self.tuned().into_iter().find(|(_, tuned)| tuned.candidate == choice.candidate);
        let screened = self.screened().into_iter().find(|(_, screened)| screened.candidate == choice.candidate);
        let (accuracy, metric) = match (choice.stage, tuned, screened) {
            (Stage::Tune, Some((_, tuned)), _) => (tuned.score.accuracy, tuned.score.metric),
            (_, _, Some((_, screened))) => (screened.accuracy, screened.metric),
            _ => (None, None),
        };
        let drop = match (accuracy, metric, self.original_accuracy()) {
            (Some(accuracy), _, Some(original)) => original.val - accuracy,
            // Without labels the original is entirely true to itself.
            (None, Some(metric), _) => self.original_metric().unwrap_or(1.0) - metric,
            _ => return true,
        };
        drop <= allowed.get()
    }
}

impl Definition for Finalists {
    type Work = FinalistsWork;
    type Result = FinalistsResult;

    fn is_part_of(spec: &JobSpec, _has_dataset: bool) -> bool {
        spec.judge.is_some()
    }

    fn plan(job: JobView<'_>, _reused: &Measurements) -> Result<Vec<PlannedTask>, PlanError> {
        let choices = job.choices();
        if choices.is_empty() {
            return Err(PlanError { stage: Stage::Finalists, missing: "screen or tune" });
        }
        let task = |(index, choice): (usize, Choice)| {
            let work = FinalistsWork { candidate: choice.candidate, tuned: choice.stage == Stage::Tune };
            PlannedTask { index, work: Work::Finalists(work), inputs: export::inputs(job, choice) }
        };
        Ok(choices.into_iter().filter(|choice| job.keeps_enough(choice)).enumerate().map(task).collect())
    }

    fn files(work: &FinalistsWork) -> Vec<String> {
        vec![finalist_model(work.candidate)]
    }

    #[cfg(any(test, feature = "testing"))]
    fn sample(work: &FinalistsWork) -> FinalistsResult {
        FinalistsResult { candidate: work.candidate }
    }
}

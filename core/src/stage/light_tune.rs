//! The stage `light_tune`: a short training of the better ones of the screened networks and of the best baseline. With `sacp` and fine-tuning only.

use serde::{Deserialize, Serialize};

use super::definition::Definition;
use super::job::{JobView, PlanError, PlannedTask};
use super::measurement::Measurements;
use super::rung::{self, RungResult};
use super::{Stage, Work, repair};
use crate::spec::{ClosedForm, JobSpec};

/// Candidates that one task trains.
const CANDIDATES_PER_TASK: usize = 8;

/// The tensors of a candidate after its light fine-tune.
pub fn lightly_tuned_weights(candidate: usize) -> String {
    format!("light-{candidate}.safetensors")
}

/// The stage.
pub struct LightTune;

/// Which candidates a task trains.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LightTuneWork {
    /// Their indices. Weights of the screen that are not there, because the screen of an earlier job was taken over, are made
    /// again.
    pub candidates: Vec<usize>,
}

/// One of so many that were screened goes on. What networks are worth after the closed form says what they are worth after training (rho
/// of 0.8, docs/evaluation.md); before, it says less.
fn share(spec: &JobSpec) -> usize {
    if spec.recovery.closed_form == ClosedForm::Never { 3 } else { 6 }
}

impl Definition for LightTune {
    type Work = LightTuneWork;
    type Result = RungResult;

    fn is_part_of(spec: &JobSpec, has_dataset: bool) -> bool {
        let light_epochs = spec.fine_tune.as_ref().map_or(0, |fine_tune| fine_tune.light_epochs);
        rung::halves(spec, has_dataset) && light_epochs > 0
    }

    fn plan(job: JobView<'_>, _reused: &Measurements) -> Result<Vec<PlannedTask>, PlanError> {
        let most = job.screened().len().div_ceil(share(job.spec)).max(job.spec.search.top_k.get());
        let ranked = job.ranked(&[(Stage::Repair, repair::repaired_weights)]);
        let best_baseline = ranked.iter().position(|contender| job.is_baseline(contender.candidate));
        let chosen = ranked.into_iter().enumerate();
        let chosen = chosen.filter(|&(rank, _)| rank < most || Some(rank) == best_baseline);
        let mut contenders: Vec<_> = chosen.map(|(_, contender)| contender).collect();
        contenders.sort_by_key(|contender| contender.candidate);
        rung::tasks(Stage::LightTune, job, &contenders, CANDIDATES_PER_TASK, |candidates| {
            Work::LightTune(LightTuneWork { candidates })
        })
    }

    fn files(work: &LightTuneWork) -> Vec<String> {
        work.candidates.iter().copied().map(lightly_tuned_weights).collect()
    }

    #[cfg(any(test, feature = "testing"))]
    fn sample(work: &LightTuneWork) -> RungResult {
        RungResult::sample(&work.candidates, 0.6)
    }
}

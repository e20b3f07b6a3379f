//! The stage `screen`: every proposed network is cut, its surgery proved, repaired in closed form or given batch norm statistics
//! of its own, and measured.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::definition::Definition;
use super::job::{Input, JobView, PlanError, PlannedTask, sharded};
use super::measurement::{Kept, Measurements};
use super::{Stage, Work, import, search};
use crate::configuration::CandidateCosts;
use crate::recovery::{ClosedFormResult, Screened};
use crate::spec::{JobSpec, Method};
use crate::surgery::Equivalence;

/// Raised when the way in which networks are screened changes what is measured.
const VERSION: u32 = 5;

/// Candidates that one task screens: about a minute's work, so that starting a process and loading data do not count.
const CANDIDATES_PER_TASK: usize = 32;

/// The tensors of a candidate after the surgery, with batch norm statistics of its own.
pub fn screened_weights(candidate: usize) -> String {
    format!("screened-{candidate}.safetensors")
}

/// The stage.
pub struct Screen;

/// Which candidates a task screens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScreenWork {
    /// Their indices.
    pub candidates: Vec<usize>,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScreenResult {
    /// One for each candidate.
    pub screened: Vec<Screened>,
}

/// The value of a screen as it is kept: [`Screened`] without the index that the candidate has in its job.
#[derive(Serialize, Deserialize)]
struct KeptValue {
    equivalence: Equivalence,
    accuracy: Option<f64>,
    metric: Option<f64>,
    closed_form: Option<ClosedFormResult>,
}

fn name(costs: &CandidateCosts) -> String {
    format!("screen/{}", costs.configuration)
}

/// A candidate with the task that screened it, and that task's number; `None` when its screen was taken over.
pub(super) type ScreenedBy<'a> = (Option<usize>, &'a Screened);

impl<'a> JobView<'a> {
    /// Every screened candidate with the number of its task, `None` when its screen was taken over, in candidate order.
    pub fn screened(self) -> Vec<ScreenedBy<'a>> {
        let measured = self.results::<ScreenResult>(Stage::Screen);
        let measured = measured.flat_map(|(task, result)| result.screened.iter().map(move |one| (Some(task), one)));
        let mut screened: Vec<_> = measured.chain(self.reused.screened.iter().map(|known| (None, known))).collect();
        screened.sort_by_key(|(_, screened)| screened.candidate);
        screened
    }
}

/// The weights that a screen task left; `None` when there was none because its result was taken over.
pub(super) fn weights(task: Option<usize>, candidate: usize) -> Option<Input> {
    task.map(|task| Input::output(Stage::Screen, task, &screened_weights(candidate)))
}

impl Definition for Screen {
    type Work = ScreenWork;
    type Result = ScreenResult;

    const REUSED_UNIT: &'static str = "candidates";

    fn plan(job: JobView<'_>, reused: &Measurements) -> Result<Vec<PlannedTask>, PlanError> {
        let proposed = job.proposed().ok_or(PlanError { stage: Stage::Screen, missing: "search" })?;
        let is_reused = |index: usize| reused.screened.iter().any(|known| known.candidate == index);
        let indices = proposed.iter().map(|candidate| candidate.index).filter(|&index| !is_reused(index));
        let indices: Vec<usize> = indices.collect();
        // A method that does not search proposes a single network.
        let shard = if job.spec.method == Method::Sacp { CANDIDATES_PER_TASK } else { 1 };
        let task = |(index, shard): (usize, &[usize])| PlannedTask {
            index,
            work: Work::Screen(ScreenWork { candidates: shard.to_vec() }),
            inputs: import::network().into_iter().chain([search::candidates()]).chain(job.dataset()).collect(),
        };
        Ok(sharded(&indices, shard).map(task).collect())
    }

    fn files(work: &ScreenWork) -> Vec<String> {
        work.candidates.iter().copied().map(screened_weights).collect()
    }

    /// A configuration names its channels itself. With other methods than `sacp` the one network is tuned next, and a screen that
    /// was taken over brings no weights.
    fn procedure(spec: &JobSpec) -> Option<Value> {
        (spec.method == Method::Sacp)
            .then(|| json!({"screen": VERSION, "recovery": spec.recovery, "outputs": spec.outputs(), "labels": spec.label_settings()}))
    }

    fn measurements(job: JobView<'_>) -> Vec<String> {
        job.proposed().unwrap_or_default().iter().map(name).collect()
    }

    fn brought(result: &ScreenResult, job: JobView<'_>) -> Vec<Kept> {
        let proposed = job.proposed().unwrap_or_default();
        let kept = |screened: &Screened| {
            let &Screened { candidate, equivalence, accuracy, metric, closed_form } = screened;
            let costs = proposed.iter().find(|costs| costs.index == candidate)?;
            Some(Kept::new(name(costs), &KeptValue { equivalence, accuracy, metric, closed_form }))
        };
        result.screened.iter().filter_map(kept).collect()
    }

    fn known(job: JobView<'_>, kept: &[Kept]) -> Measurements {
        let screened = |costs: &CandidateCosts| {
            let kept = kept.iter().find(|kept| kept.name == name(costs))?;
            let KeptValue { equivalence, accuracy, metric, closed_form } =
                serde_json::from_value(kept.value.clone()).ok()?;
            Some(Screened { candidate: costs.index, equivalence, accuracy, metric, closed_form })
        };
        let screened = job.proposed().unwrap_or_default().iter().filter_map(screened).collect();
        Measurements { screened, ..Measurements::default() }
    }

    fn taken_over(job: JobView<'_>, known: &Measurements) -> Result<Measurements, PlanError> {
        let proposed = job.proposed().ok_or(PlanError { stage: Stage::Screen, missing: "search" })?;
        let wanted = |known: &&Screened| proposed.iter().any(|costs| costs.index == known.candidate);
        let screened = known.screened.iter().filter(wanted).cloned().collect();
        Ok(Measurements { screened, ..Measurements::default() })
    }

    fn count_reused(reused: &Measurements) -> usize {
        reused.screened.len()
    }

    #[cfg(any(test, feature = "testing"))]
    fn sample(work: &ScreenWork) -> ScreenResult {
        let screened = |&candidate: &usize| Screened {
            candidate,
            equivalence: Equivalence { max_abs_diff: 0.0, tolerance: 1e-4 },
            accuracy: Some(0.5 + candidate as f64 / 10.0),
            metric: None,
            closed_form: None,
        };
        ScreenResult { screened: work.candidates.iter().map(screened).collect() }
    }
}

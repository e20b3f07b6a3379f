//! The stage `judge`: somebody outside scores the finalists, and the best goes to the export. With `judge` only.
//!
//! It has one task, which no engine carries out: whoever runs the job waits for the scores, at most for [`JudgeWork::timeout_s`], and
//! then [`JudgeWork::settle`] makes its result of those that came.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::definition::Definition;
use super::finalists::{FinalistsResult, finalist_model};
use super::job::{Input, JobView, PlanError, PlannedTask};
use super::measurement::Measurements;
use super::{Stage, Work};
use crate::recovery::{JudgeScore, Judgement};
use crate::spec::JobSpec;

/// The stage.
pub struct Judge;

/// What is to be judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JudgeWork {
    /// The candidates, the best by the job's own metric first. The inputs of the task are their files in the same order.
    pub finalists: Vec<usize>,
    /// Seconds that the judge has.
    pub timeout_s: u32,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JudgeResult {
    /// The scores and who decided.
    pub judgement: Judgement,
}

impl JudgeWork {
    /// How long the judge has.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_s.into())
    }

    /// The result when every finalist has its score, or when the time is over.
    pub fn settle(&self, given: &[JudgeScore]) -> JudgeResult {
        self.settle_after(given, &format!("The judge had {} s", self.timeout_s))
    }

    /// The same where the judgement ended for another reason, told as the beginning of a sentence.
    pub fn settle_after(&self, given: &[JudgeScore], ended: &str) -> JudgeResult {
        JudgeResult { judgement: Judgement::over(&self.finalists, given, ended) }
    }
}

impl<'a> JobView<'a> {
    /// How the judgement ended; `None` before that, and without a judge.
    pub fn judgement(self) -> Option<&'a Judgement> {
        self.result::<JudgeResult>(Stage::Judge).map(|result| &result.judgement)
    }

    /// The candidate that the judge chose; `None` where no judge has decided.
    pub(super) fn chosen_by_judge(self) -> Option<usize> {
        let judge = self.spec.judge.as_ref()?;
        self.judgement()?.winner(judge.higher_is_better)
    }
}

impl Definition for Judge {
    type Work = JudgeWork;
    type Result = JudgeResult;

    fn is_part_of(spec: &JobSpec, _has_dataset: bool) -> bool {
        spec.judge.is_some()
    }

    /// No task where nothing may win: the export says why.
    fn plan(job: JobView<'_>, _reused: &Measurements) -> Result<Vec<PlannedTask>, PlanError> {
        let missing = PlanError { stage: Stage::Judge, missing: "judge in the spec" };
        let timeout_s = job.spec.judge.as_ref().map(|judge| judge.timeout_s).ok_or(missing)?;
        let mut written: Vec<_> = job.results::<FinalistsResult>(Stage::Finalists).collect();
        // The tasks of that stage are in the order of the job's own metric.
        written.sort_by_key(|(task, _)| *task);
        if written.is_empty() {
            return Ok(Vec::new());
        }
        let finalists: Vec<usize> = written.iter().map(|(_, finalist)| finalist.candidate).collect();
        let file = |&(task, finalist): &(usize, &FinalistsResult)| {
            Input::output(Stage::Finalists, task, &finalist_model(finalist.candidate))
        };
        let inputs: Vec<Input> = written.iter().map(file).collect();
        Ok(PlannedTask::only(Work::Judge(JudgeWork { finalists, timeout_s }), inputs))
    }

    fn files(_work: &JudgeWork) -> Vec<String> {
        Vec::new()
    }

    #[cfg(any(test, feature = "testing"))]
    fn sample(work: &JudgeWork) -> JudgeResult {
        let score = |&candidate: &usize| JudgeScore { candidate, score: candidate as f64 };
        work.settle(&work.finalists.iter().map(score).collect::<Vec<_>>())
    }
}

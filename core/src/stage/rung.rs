//! Successive halving: rungs of training, each with fewer candidates and more steps than the one before.
//!
//! `repair`, `light_tune` and `tune` are its rungs. A contender is a candidate as the latest of them, or else the screen, has
//! measured it.

use serde::{Deserialize, Serialize};

use super::job::{Input, JobView, PlanError, PlannedTask, sharded};
use super::{Stage, Work, import, screen, search};
use crate::recovery::{Rated, Score};
use crate::spec::{JobSpec, Method};

/// Every candidate of a task after the same little training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RungResult {
    /// Steps of training that each got.
    pub steps: u64,
    /// One for each candidate.
    pub rated: Vec<Rated>,
}

impl RungResult {
    /// A made-up result.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn sample(candidates: &[usize], accuracy: f64) -> Self {
        let score = Score { accuracy: Some(accuracy), metric: None, loss: 0.1 };
        Self { steps: 10, rated: candidates.iter().map(|&candidate| Rated { candidate, score }).collect() }
    }
}

/// A candidate that may be trained further, as it was last measured.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Contender {
    pub(super) candidate: usize,
    pub(super) score: Score,
    /// `None` when they are to be made again.
    weights: Option<Input>,
}

/// Whether a job trains anything.
pub(super) fn trains(spec: &JobSpec, has_dataset: bool) -> bool {
    spec.fine_tune.is_some() && has_dataset
}

/// Whether a job trains several networks and gives up the worse ones.
pub(super) fn halves(spec: &JobSpec, has_dataset: bool) -> bool {
    trains(spec, has_dataset) && spec.method == Method::Sacp
}

impl<'a> JobView<'a> {
    /// Every candidate of a rung with the number of its task, in candidate order.
    pub(super) fn rated(self, rung: Stage) -> Vec<(usize, &'a Rated)> {
        let results = self.results::<RungResult>(rung);
        let mut rated: Vec<_> =
            results.flat_map(|(task, result)| result.rated.iter().map(move |rated| (task, rated))).collect();
        rated.sort_by_key(|(_, rated)| rated.candidate);
        rated
    }

    /// Steps that every candidate of a rung was trained; `None` when the job has no such rung.
    pub(super) fn steps_of(self, rung: Stage) -> Option<u64> {
        self.result::<RungResult>(rung).map(|result| result.steps)
    }

    /// The candidates as the first of `rungs` that the job has measured them, or else the screen, in candidate order. A rung
    /// comes with the name of a candidate's weights after it.
    fn contenders(self, rungs: &[Rung]) -> Vec<Contender> {
        for &(rung, weights) in rungs {
            let contender = |(task, &Rated { candidate, score }): (usize, &Rated)| Contender {
                candidate,
                score,
                weights: Some(Input::output(rung, task, &weights(candidate))),
            };
            let rated: Vec<_> = self.rated(rung).into_iter().map(contender).collect();
            if !rated.is_empty() {
                return rated;
            }
        }
        let screened = self.screened().into_iter();
        screened
            .map(|(task, screened)| Contender {
                candidate: screened.candidate,
                score: Score { accuracy: Some(screened.value()), metric: None, loss: 0.0 },
                weights: screen::weights(task, screened.candidate),
            })
            .collect()
    }

    /// The contenders, the best first; ties go to the earlier.
    pub(super) fn ranked(self, rungs: &[Rung]) -> Vec<Contender> {
        let mut ranked = self.contenders(rungs);
        ranked.sort_by(|a, b| b.score.order(&a.score).then(a.candidate.cmp(&b.candidate)));
        ranked
    }
}

/// A rung, and the name of a candidate's weights after it.
pub(super) type Rung = (Stage, fn(usize) -> String);

/// The tasks of a rung, with `size` contenders each.
pub(super) fn tasks(
    stage: Stage,
    job: JobView<'_>,
    contenders: &[Contender],
    size: usize,
    work: impl Fn(Vec<usize>) -> Work,
) -> Result<Vec<PlannedTask>, PlanError> {
    if contenders.is_empty() {
        return Err(PlanError { stage, missing: "screen" });
    }
    let task = |(index, shard): (usize, &[Contender])| PlannedTask {
        index,
        work: work(shard.iter().map(|contender| contender.candidate).collect()),
        inputs: import::network()
            .into_iter()
            .chain([search::candidates()])
            .chain(shard.iter().filter_map(|contender| contender.weights.clone()))
            .chain(job.dataset())
            .collect(),
    };
    Ok(sharded(contenders, size).map(task).collect())
}

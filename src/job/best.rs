//! The best network that a job has found so far.

use secateur_core::report::Costs;
use secateur_core::stage::{FinishedTask, JobView, Stage};
use secateur_core::task::{Screened, TaskResult};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A measured candidate. Tuned ones go before screened ones, as in the choice of the winner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Best {
    pub candidate: usize,
    /// The method that proposed it.
    pub origin: String,
    /// The stage that measured it, `screen` or `tune`.
    pub stage: Stage,
    pub costs: Costs,
    /// Share removed of the target's metric.
    pub reduction: f64,
    /// On the validation split; `null` without labels.
    pub val_accuracy: Option<f64>,
}

impl Best {
    /// The best of what is measured; `None` before the first candidate was screened.
    pub fn of(job: JobView<'_>) -> Option<Self> {
        let (stage, candidate, val_accuracy) = best_tuned(job.finished).or_else(|| best_screened(job))?;
        let proposal = job.search()?.iter().find(|proposal| proposal.index == candidate)?;
        Some(Self {
            candidate,
            origin: proposal.origin.clone(),
            stage,
            costs: proposal.costs,
            reduction: proposal.reduction,
            val_accuracy,
        })
    }
}

type Measured = (Stage, usize, Option<f64>);

fn best_tuned(finished: &[FinishedTask]) -> Option<Measured> {
    let tuned = finished.iter().filter_map(|task| match &task.result {
        TaskResult::Tune(tuned) => Some(tuned),
        _ => None,
    });
    let best = tuned.reduce(|best, tuned| {
        let order = tuned.score.order(&best.score).then(best.candidate.cmp(&tuned.candidate));
        if order.is_gt() { tuned } else { best }
    })?;
    Some((Stage::Tune, best.candidate, best.accuracy.map(|accuracy| accuracy.val)))
}

fn best_screened(job: JobView<'_>) -> Option<Measured> {
    let screened = job.screened().into_iter().map(|(_, screened)| screened);
    // As the planner ranks them: by agreement with the original where there are no labels.
    let score = |screened: &Screened| screened.value();
    let best = screened.reduce(|best, screened| {
        let (accuracy, best_accuracy) = (score(screened), score(best));
        let better = accuracy > best_accuracy || (accuracy == best_accuracy && screened.candidate < best.candidate);
        if better { screened } else { best }
    })?;
    Some((Stage::Screen, best.candidate, best.accuracy))
}

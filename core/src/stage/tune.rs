//! The stage `tune`: the full training, of the best contenders and of the best baseline.

use serde::{Deserialize, Serialize};

use super::definition::Definition;
use super::job::{Input, JobView, PlanError, PlannedTask};
use super::measurement::Measurements;
use super::rung::{self, Contender};
use super::{Stage, Work, light_tune, repair, screen};
use crate::recovery::TuneResult;
use crate::spec::JobSpec;

/// The tensors of a candidate after fine-tuning.
pub fn tuned_weights(candidate: usize) -> String {
    format!("tuned-{candidate}.safetensors")
}

/// The stage.
pub struct Tune;

/// Which candidate a task trains.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TuneWork {
    /// Its index.
    pub candidate: usize,
}

/// A network that may be exported.
pub(super) struct Choice {
    pub(super) candidate: usize,
    /// The stage that measured it.
    pub(super) stage: Stage,
    /// `None` when they are to be made again.
    pub(super) weights: Option<Input>,
}

impl<'a> JobView<'a> {
    /// Every tuned candidate with the number of its task, in candidate order.
    pub(super) fn tuned(self) -> Vec<(usize, &'a TuneResult)> {
        let mut tuned: Vec<_> = self.results::<TuneResult>(Stage::Tune).collect();
        tuned.sort_by_key(|(_, tuned)| tuned.candidate);
        tuned
    }

    /// The candidates that are fully fine-tuned: the `top_k` best and the best baseline, so that a job is no worse on validation
    /// than any classical method was measured to be.
    fn finalists(self) -> Vec<Contender> {
        let ranked = self.ranked(&[
            (Stage::LightTune, light_tune::lightly_tuned_weights),
            (Stage::Repair, repair::repaired_weights),
        ]);
        let top_k = self.spec.search.top_k.get();
        let best_baseline = ranked.iter().position(|contender| self.is_baseline(contender.candidate));
        let is_chosen = |rank: usize| rank < top_k || Some(rank) == best_baseline;
        ranked.into_iter().enumerate().filter(|(rank, _)| is_chosen(*rank)).map(|(_, contender)| contender).collect()
    }

    /// The best and the stage that measured it: by the judge, or else by validation, the first of equals. Tuned candidates go before
    /// screened ones.
    pub fn best(self) -> Option<(Stage, usize)> {
        if let Some(candidate) = self.chosen_by_judge() {
            let is_tuned = self.tuned().iter().any(|(_, tuned)| tuned.candidate == candidate);
            return Some((if is_tuned { Stage::Tune } else { Stage::Screen }, candidate));
        }
        let tuned = first_of_best(self.tuned(), |(_, a), (_, b)| a.score.is_better_than(&b.score));
        let tuned = tuned.map(|(_, tuned)| (Stage::Tune, tuned.candidate));
        tuned.or_else(|| {
            let screened = first_of_best(self.screened(), |(_, a), (_, b)| a.value() > b.value());
            screened.map(|(_, screened)| (Stage::Screen, screened.candidate))
        })
    }

    /// The best with where its weights are.
    pub(super) fn winner(self) -> Option<Choice> {
        let (stage, candidate) = self.best()?;
        self.choice(stage, candidate)
    }

    /// The networks that a judge chooses among, the best by validation first: what was tuned or, where nothing is, what would be.
    pub(super) fn choices(self) -> Vec<Choice> {
        let mut tuned = self.tuned();
        tuned.sort_by(|(_, a), (_, b)| b.score.order(&a.score));
        if tuned.is_empty() {
            let screened = self.finalists().into_iter();
            return screened.filter_map(|finalist| self.choice(Stage::Screen, finalist.candidate)).collect();
        }
        tuned.into_iter().filter_map(|(_, tuned)| self.choice(Stage::Tune, tuned.candidate)).collect()
    }

    /// A candidate that a stage has measured, with where its weights are.
    fn choice(self, stage: Stage, candidate: usize) -> Option<Choice> {
        let weights = match stage {
            Stage::Tune => {
                let (task, _) = self.tuned().into_iter().find(|(_, tuned)| tuned.candidate == candidate)?;
                Some(Input::output(Stage::Tune, task, &tuned_weights(candidate)))
            }
            _ => {
                let (task, _) = self.screened().into_iter().find(|(_, screened)| screened.candidate == candidate)?;
                screen::weights(task, candidate)
            }
        };
        Some(Choice { candidate, stage, weights })
    }
}

fn first_of_best<T>(items: Vec<T>, is_better: impl Fn(&T, &T) -> bool) -> Option<T> {
    items.into_iter().reduce(|best, item| if is_better(&item, &best) { item } else { best })
}

impl Definition for Tune {
    type Work = TuneWork;
    type Result = TuneResult;

    fn is_part_of(spec: &JobSpec, has_dataset: bool) -> bool {
        rung::trains(spec, has_dataset)
    }

    fn plan(job: JobView<'_>, _reused: &Measurements) -> Result<Vec<PlannedTask>, PlanError> {
        rung::tasks(Stage::Tune, job, &job.finalists(), 1, |candidates| {
            Work::Tune(TuneWork { candidate: candidates[0] })
        })
    }

    fn files(work: &TuneWork) -> Vec<String> {
        vec![tuned_weights(work.candidate)]
    }

    #[cfg(any(test, feature = "testing"))]
    fn sample(work: &TuneWork) -> TuneResult {
        TuneResult {
            candidate: work.candidate,
            epochs: Vec::new(),
            best_epoch: 1,
            recipe: None,
            accuracy: Some(crate::recovery::Accuracy { val: 0.9, test: 0.8 }),
            score: crate::recovery::Score { accuracy: Some(0.9), metric: None, loss: 0.1 },
        }
    }
}

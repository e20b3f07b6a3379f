//! What the planner reads off the finished tasks of a job.

use super::{FinishedTask, Input, JobView, Stage, output, screened_file};
use crate::latency::LatencyTable;
use crate::report::{CandidateReport, StageDevices, StageSeconds};
use crate::search::additive::{Probe, Sensitivity};
use crate::search::calibration::Sampled;
use crate::spec::Method;
use crate::task::{
    CandidateCosts, GraphResult, History, Rated, Score, Screened, TaskResult, TuneResult, file, measured,
};

/// A candidate that may be trained further, as it was last measured.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Contender {
    pub(super) candidate: usize,
    pub(super) score: Score,
    /// `None` when they are to be made again.
    pub(super) weights: Option<Input>,
}

/// The network that export takes.
pub(super) struct Winner {
    pub(super) candidate: usize,
    pub(super) stage: Stage,
    /// `None` when they are to be made again.
    pub(super) weights: Option<Input>,
}

impl<'a> JobView<'a> {
    pub(super) fn results(self, stage: Stage) -> impl Iterator<Item = &'a FinishedTask> {
        self.finished.iter().filter(move |task| task.stage == stage)
    }

    /// The configurations that the search proposed.
    pub fn search(self) -> Option<&'a [CandidateCosts]> {
        self.results(Stage::Search).find_map(|task| match &task.result {
            TaskResult::Search(result) => Some(result.candidates.as_slice()),
            _ => None,
        })
    }

    /// Whose widths are tried with other channels: the uniform baseline's, since those depend on no ranking.
    pub(super) fn compared_candidate(self) -> Option<usize> {
        let proposed = self.search()?;
        let uniform = proposed.iter().find(|candidate| candidate.origin == Method::Uniform.as_str());
        uniform.or(proposed.first()).map(|candidate| candidate.index)
    }

    /// Every screened candidate with the index of its task, `None` when its screen was taken over, in candidate order.
    pub fn screened(self) -> Vec<(Option<usize>, &'a Screened)> {
        let measured = self
            .results(Stage::Screen)
            .filter_map(|task| match &task.result {
                TaskResult::Screen(result) => Some(result.screened.iter().map(|screened| (Some(task.index), screened))),
                _ => None,
            })
            .flatten();
        let mut screened: Vec<_> = measured.chain(self.reused.screened.iter().map(|known| (None, known))).collect();
        screened.sort_by_key(|(_, screened)| screened.candidate);
        screened
    }

    pub(crate) fn graph(self) -> Option<&'a GraphResult> {
        self.results(Stage::Graph).find_map(|task| match &task.result {
            TaskResult::Graph(result) => Some(result),
            _ => None,
        })
    }

    /// The latency table; with a latency target only.
    pub(super) fn latency(self) -> Option<&'a LatencyTable> {
        self.results(Stage::Latency).find_map(|task| match &task.result {
            TaskResult::Latency(result) => Some(&result.table),
            _ => None,
        })
    }

    /// The sensitivities that the search is calibrated on; none before the graph stage.
    pub(crate) fn probes(self) -> &'a [Probe] {
        self.graph().map_or(&[], |graph| &graph.probes)
    }

    /// The calibration sample as far as it could be drawn, by number.
    pub(super) fn calibration(self) -> Vec<Sampled> {
        let mut all: Vec<Sampled> = self
            .results(Stage::Calibration)
            .filter_map(|task| match &task.result {
                TaskResult::Calibration(result) => Some(result.measured.iter().cloned()),
                _ => None,
            })
            .flatten()
            .collect();
        all.sort_by_key(|sampled| sampled.index);
        all
    }

    /// All sensitivities, measured and taken over, by group.
    pub(super) fn sensitivities(self) -> Vec<Sensitivity> {
        let mut all: Vec<Sensitivity> = self
            .results(Stage::Sensitivity)
            .filter_map(|task| match &task.result {
                TaskResult::Sensitivity(result) => Some(result.measured.iter().copied()),
                _ => None,
            })
            .flatten()
            .chain(self.reused.sensitivities.iter().copied())
            .collect();
        all.sort_by_key(Sensitivity::probe);
        all
    }

    /// Every candidate of a rung with the index of its task, in candidate order.
    pub(super) fn rated(self, rung: Stage) -> Vec<(usize, &'a Rated)> {
        let mut rated: Vec<_> = self
            .results(rung)
            .filter_map(|task| match &task.result {
                TaskResult::Repair(result) | TaskResult::LightTune(result) => Some((task.index, result)),
                _ => None,
            })
            .flat_map(|(task, result)| result.rated.iter().map(move |rated| (task, rated)))
            .collect();
        rated.sort_by_key(|(_, rated)| rated.candidate);
        rated
    }

    /// Steps that every candidate of a rung was trained; `None` when the job has no such rung.
    fn steps_of(self, rung: Stage) -> Option<u64> {
        self.results(rung).find_map(|task| match &task.result {
            TaskResult::Repair(result) | TaskResult::LightTune(result) => Some(result.steps),
            _ => None,
        })
    }

    /// Whether a candidate is a classical method's.
    pub(super) fn is_baseline(self, candidate: usize) -> bool {
        let proposed = self.search().unwrap_or_default();
        proposed.iter().any(|costs| costs.index == candidate && Method::is_baseline(&costs.origin))
    }

    /// The candidates that the latest rung, or else the screen, has measured, in candidate order.
    pub(super) fn contenders(self) -> Vec<Contender> {
        for (rung, file) in
            [(Stage::LightTune, file::lightly_tuned as fn(usize) -> String), (Stage::Repair, file::repaired)]
        {
            let contender = |(task, &Rated { candidate, score }): (usize, &Rated)| Contender {
                candidate,
                score,
                weights: Some(output(rung, task, &file(candidate))),
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
                score: Score { accuracy: Some(screened.value()), loss: 0.0 },
                weights: screened_file(task, screened.candidate),
            })
            .collect()
    }

    /// The contenders, the best first; ties go to the earlier.
    fn ranked(self) -> Vec<Contender> {
        let mut ranked = self.contenders();
        ranked.sort_by(|a, b| b.score.order(&a.score).then(a.candidate.cmp(&b.candidate)));
        ranked
    }

    /// The `count` best contenders and every baseline, in candidate order.
    pub(super) fn best_and_baselines(self, count: usize) -> Vec<Contender> {
        let ranked = self.ranked().into_iter().enumerate();
        let chosen = ranked.filter(|(rank, contender)| *rank < count || self.is_baseline(contender.candidate));
        let mut chosen: Vec<_> = chosen.map(|(_, contender)| contender).collect();
        chosen.sort_by_key(|contender| contender.candidate);
        chosen
    }

    /// The candidates that are fully fine-tuned: the `top_k` best and the best baseline, so that a job is no worse on validation
    /// than any classical method was measured to be.
    pub(super) fn finalists(self) -> Vec<Contender> {
        let ranked = self.ranked();
        let top_k = self.spec.search.top_k.get();
        let best_baseline = ranked.iter().position(|contender| self.is_baseline(contender.candidate));
        let is_chosen = |rank: usize| rank < top_k || Some(rank) == best_baseline;
        ranked.into_iter().enumerate().filter(|(rank, _)| is_chosen(*rank)).map(|(_, contender)| contender).collect()
    }

    /// Every tuned candidate with the index of its task, in candidate order.
    pub(super) fn tuned(self) -> Vec<(usize, &'a TuneResult)> {
        let mut tuned: Vec<_> = self
            .results(Stage::Tune)
            .filter_map(|task| match &task.result {
                TaskResult::Tune(result) => Some((task.index, result)),
                _ => None,
            })
            .collect();
        tuned.sort_by_key(|(_, tuned)| tuned.candidate);
        tuned
    }

    /// The best by validation and the stage that measured it; the first of equals. Tuned candidates go before screened ones.
    pub fn best(self) -> Option<(Stage, usize)> {
        let tuned = first_of_best(self.tuned(), |(_, a), (_, b)| a.score.is_better_than(&b.score));
        let tuned = tuned.map(|(_, tuned)| (Stage::Tune, tuned.candidate));
        tuned.or_else(|| {
            let screened = first_of_best(self.screened(), |(_, a), (_, b)| a.value() > b.value());
            screened.map(|(_, screened)| (Stage::Screen, screened.candidate))
        })
    }

    /// The best with where its weights are.
    pub(super) fn winner(self) -> Option<Winner> {
        let (stage, candidate) = self.best()?;
        let weights = match stage {
            Stage::Tune => {
                let (task, _) = self.tuned().into_iter().find(|(_, tuned)| tuned.candidate == candidate)?;
                Some(output(Stage::Tune, task, &file::tuned(candidate)))
            }
            _ => {
                let (task, _) = self.screened().into_iter().find(|(_, screened)| screened.candidate == candidate)?;
                screened_file(task, candidate)
            }
        };
        Some(Winner { candidate, stage, weights })
    }

    /// Every candidate that was proposed, with what has been measured of it so far.
    pub fn candidates(self) -> Vec<CandidateReport> {
        let proposed: Vec<&CandidateCosts> = self.search().unwrap_or_default().iter().collect();
        let screened: Vec<&Screened> = self.screened().into_iter().map(|(_, screened)| screened).collect();
        let of_rung = |rung| self.rated(rung).into_iter().map(|(_, rated)| rated).collect::<Vec<_>>();
        let tuned: Vec<&TuneResult> = self.tuned().into_iter().map(|(_, tuned)| tuned).collect();
        measured(&proposed, &screened, &of_rung(Stage::Repair), &of_rung(Stage::LightTune), &tuned)
    }

    pub(super) fn history(self) -> Option<History> {
        let import = self.results(Stage::Import).find_map(|task| match &task.result {
            TaskResult::Import(result) => Some(result.clone()),
            _ => None,
        })?;
        let export = self.results(Stage::Export).find_map(|task| match &task.result {
            TaskResult::Export(result) => Some(result.clone()),
            _ => None,
        })?;
        let (mut seconds, mut devices) = (StageSeconds::new(), StageDevices::new());
        for task in self.finished {
            devices.entry(task.stage.as_str().to_owned()).or_default().insert(task.device.clone());
            *seconds.entry(task.stage.as_str().to_owned()).or_default() += task.seconds;
        }
        let encoder = self.results(Stage::Encoder).find_map(|task| match &task.result {
            TaskResult::Encoder(result) => Some(result.clone()),
            _ => None,
        });
        let search = self.results(Stage::Search).find_map(|task| match &task.result {
            TaskResult::Search(result) => result.search.as_deref().cloned(),
            _ => None,
        });
        let channel_choice = self.results(Stage::Screen).find_map(|task| match &task.result {
            TaskResult::Screen(result) => result.channel_choice.clone(),
            _ => None,
        });
        Some(History {
            import,
            latency: self.latency().cloned().map(Box::new),
            encoder,
            search,
            proposed: self.search().unwrap_or_default().to_vec(),
            repair_steps: self.steps_of(Stage::Repair),
            repaired: self.rated(Stage::Repair).into_iter().map(|(_, rated)| rated.clone()).collect(),
            lightly_tuned: self.rated(Stage::LightTune).into_iter().map(|(_, rated)| rated.clone()).collect(),
            screened: self.screened().into_iter().map(|(_, screened)| screened.clone()).collect(),
            tuned: self.tuned().into_iter().map(|(_, tuned)| tuned.clone()).collect(),
            channel_choice,
            winner: export.candidate,
            export,
            seconds,
            devices,
            reused: self.reused.counts(),
        })
    }
}

fn first_of_best<T>(items: Vec<T>, is_better: impl Fn(&T, &T) -> bool) -> Option<T> {
    items.into_iter().reduce(|best, item| if is_better(&item, &best) { item } else { best })
}

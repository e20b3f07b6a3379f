//! The stage machine: which stage follows which, and the tasks of a stage.
//!
//! Both are pure functions of the spec and of what has finished, so that the server's transaction and the CLI's
//! local run take the same road. The caller runs every task of a stage, then asks for the next.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::report::{CandidateReport, StageSeconds};
use crate::search::additive::Sensitivity;
use crate::spec::{JobSpec, Method};
use crate::task::{CandidateCosts, History, LightlyTuned, Screened, TaskResult, TuneResult, Work, file, measured};

/// A stage of a job. `Encoder`, `Sensitivity` and `LightTune` belong to the method `sacp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    Import,
    Graph,
    Encoder,
    Sensitivity,
    Search,
    Screen,
    LightTune,
    Tune,
    Export,
    Verify,
}

impl Stage {
    pub const ALL: [Self; 10] = [
        Self::Import,
        Self::Graph,
        Self::Encoder,
        Self::Sensitivity,
        Self::Search,
        Self::Screen,
        Self::LightTune,
        Self::Tune,
        Self::Export,
        Self::Verify,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Import => "import",
            Self::Graph => "graph",
            Self::Encoder => "encoder",
            Self::Sensitivity => "sensitivity",
            Self::Search => "search",
            Self::Screen => "screen",
            Self::LightTune => "light_tune",
            Self::Tune => "tune",
            Self::Export => "export",
            Self::Verify => "verify",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.as_str() == name)
    }

    /// The stage after this one; `None` when the job is done.
    pub fn next(self, spec: &JobSpec, has_dataset: bool) -> Option<Self> {
        let tunes = spec.fine_tune.is_some() && has_dataset;
        let light_epochs = spec.fine_tune.as_ref().map_or(0, |fine_tune| fine_tune.light_epochs);
        match self {
            Self::Import => Some(Self::Graph),
            Self::Graph if spec.method == Method::Sacp => Some(Self::Encoder),
            Self::Encoder if has_dataset => Some(Self::Sensitivity),
            Self::Graph | Self::Encoder | Self::Sensitivity => Some(Self::Search),
            Self::Search => Some(Self::Screen),
            Self::Screen if tunes && spec.method == Method::Sacp && light_epochs > 0 => Some(Self::LightTune),
            Self::Screen | Self::LightTune if tunes => Some(Self::Tune),
            Self::Screen | Self::LightTune | Self::Tune => Some(Self::Export),
            Self::Export => Some(Self::Verify),
            Self::Verify => None,
        }
    }
}

/// Where a task's input file comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum Source {
    Model,
    Dataset,
    /// An output of a finished task of the same job.
    Output {
        stage: Stage,
        index: usize,
        name: String,
    },
}

/// A file that a task finds in its folder under `name`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    pub name: String,
    pub source: Source,
}

/// A task that is to be run: the n-th of its stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedTask {
    pub index: usize,
    pub work: Work,
    pub inputs: Vec<Input>,
}

/// A task of the job that is done.
#[derive(Debug, Clone, PartialEq)]
pub struct FinishedTask {
    pub stage: Stage,
    pub index: usize,
    pub result: TaskResult,
    pub files: Vec<String>,
    pub seconds: f64,
}

/// The job as the planner sees it.
#[derive(Debug, Clone, Copy)]
pub struct JobView<'a> {
    pub spec: &'a JobSpec,
    pub has_dataset: bool,
    /// Every finished task, in any order.
    pub finished: &'a [FinishedTask],
}

/// A stage cannot be planned: an earlier stage's result is not there. Always our bug.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("stage {} cannot be planned: no finished {missing}", .stage.as_str())]
pub struct PlanError {
    pub stage: Stage,
    pub missing: &'static str,
}

/// The tasks of a stage whose predecessors have all finished. Never empty.
pub fn plan(stage: Stage, job: JobView<'_>) -> Result<Vec<PlannedTask>, PlanError> {
    let one = |work, inputs| Ok(vec![PlannedTask { index: 0, work, inputs }]);
    let missing = |missing| PlanError { stage, missing };
    let graph = || [output(Stage::Import, 0, file::GRAPH), output(Stage::Import, 0, file::WEIGHTS)];
    let candidates = || output(Stage::Search, 0, file::CANDIDATES);
    let dataset = || job.has_dataset.then(|| Input { name: file::DATASET.to_owned(), source: Source::Dataset });

    match stage {
        Stage::Import => {
            let model = Input { name: file::MODEL.to_owned(), source: Source::Model };
            one(Work::Import, [model].into_iter().chain(dataset()).collect())
        }
        Stage::Graph => one(Work::Graph, graph().into()),
        Stage::Encoder => one(Work::Encoder, graph().into()),
        Stage::Sensitivity => {
            let groups = job.groups().ok_or_else(|| missing("graph"))?;
            let all: Vec<usize> = (0..groups).collect();
            Ok(sharded(&all, GROUPS_PER_TASK)
                .map(|(index, shard)| PlannedTask {
                    index,
                    work: Work::Sensitivity { groups: shard.to_vec() },
                    inputs: graph().into_iter().chain(dataset()).collect(),
                })
                .collect())
        }
        Stage::Search => {
            let encoder = job.results(Stage::Encoder).map(|_| output(Stage::Encoder, 0, file::ENCODER));
            let sensitivities = job.sensitivities();
            one(Work::Search { sensitivities }, graph().into_iter().chain(encoder).collect())
        }
        Stage::Screen => {
            let proposed = job.search().ok_or_else(|| missing("search"))?;
            let indices: Vec<usize> = proposed.iter().map(|candidate| candidate.index).collect();
            // A method that does not search proposes a single network.
            let shard = if job.spec.method == Method::Sacp { CANDIDATES_PER_TASK } else { 1 };
            Ok(sharded(&indices, shard)
                .map(|(index, shard)| PlannedTask {
                    index,
                    work: Work::Screen { candidates: shard.to_vec() },
                    inputs: graph().into_iter().chain([candidates()]).chain(dataset()).collect(),
                })
                .collect())
        }
        Stage::LightTune => {
            let screened = job.screened();
            if screened.is_empty() {
                return Err(missing("screen"));
            }
            // Successive halving: the better third by what the screen measured, and every baseline.
            let third = screened.len().div_ceil(3).max(job.spec.search.top_k.get());
            let chosen = job.best_and_baselines(third);
            Ok(sharded(&chosen, CANDIDATES_PER_LIGHT_TASK)
                .map(|(index, shard)| PlannedTask {
                    index,
                    work: Work::LightTune {
                        candidates: shard.iter().map(|(_, screened)| screened.candidate).collect(),
                    },
                    inputs: graph()
                        .into_iter()
                        .chain([candidates()])
                        .chain(
                            shard.iter().map(|(task, screened)| {
                                output(Stage::Screen, *task, &file::screened(screened.candidate))
                            }),
                        )
                        .chain(dataset())
                        .collect(),
                })
                .collect())
        }
        Stage::Tune => {
            let starts = job.tune_starts();
            if starts.is_empty() {
                return Err(missing("screen"));
            }
            Ok(starts
                .into_iter()
                .enumerate()
                .map(|(index, (candidate, start))| PlannedTask {
                    index,
                    work: Work::Tune { candidate },
                    inputs: graph().into_iter().chain([candidates(), start]).chain(dataset()).collect(),
                })
                .collect())
        }
        Stage::Export => {
            let winner = job.winner().ok_or_else(|| missing("screen or tune"))?;
            one(
                Work::Export { candidate: winner.candidate, tuned: winner.stage == Stage::Tune },
                graph()
                    .into_iter()
                    .chain([candidates(), output(winner.stage, winner.task, &winner.file)])
                    .chain(dataset())
                    .collect(),
            )
        }
        Stage::Verify => {
            let history = job.history().ok_or_else(|| missing("import, screen or export"))?;
            one(
                Work::Verify { history: Box::new(history) },
                vec![
                    output(Stage::Import, 0, file::GRAPH),
                    candidates(),
                    output(Stage::Export, 0, file::PRUNED_MODEL),
                    output(Stage::Export, 0, file::BASE_MODEL),
                    output(Stage::Export, 0, file::PROBES),
                ],
            )
        }
    }
}

/// Groups whose sensitivity one task measures.
const GROUPS_PER_TASK: usize = 16;

/// Candidates that one task screens: about a minute's work, so that starting a process and loading data do not count.
const CANDIDATES_PER_TASK: usize = 32;

const CANDIDATES_PER_LIGHT_TASK: usize = 8;

fn sharded<T>(items: &[T], size: usize) -> impl Iterator<Item = (usize, &[T])> {
    items.chunks(size).enumerate()
}

fn output(stage: Stage, index: usize, name: &str) -> Input {
    Input { name: name.to_owned(), source: Source::Output { stage, index, name: name.to_owned() } }
}

/// The network that export takes.
struct Winner {
    candidate: usize,
    stage: Stage,
    task: usize,
    file: String,
}

impl<'a> JobView<'a> {
    fn results(self, stage: Stage) -> impl Iterator<Item = &'a FinishedTask> {
        self.finished.iter().filter(move |task| task.stage == stage)
    }

    fn search(self) -> Option<&'a [CandidateCosts]> {
        self.results(Stage::Search).find_map(|task| match &task.result {
            TaskResult::Search(result) => Some(result.candidates.as_slice()),
            _ => None,
        })
    }

    /// Every screened candidate with the index of its task, in candidate order.
    fn screened(self) -> Vec<(usize, &'a Screened)> {
        let mut screened: Vec<_> = self
            .results(Stage::Screen)
            .filter_map(|task| match &task.result {
                TaskResult::Screen(result) => Some(result.screened.iter().map(|screened| (task.index, screened))),
                _ => None,
            })
            .flatten()
            .collect();
        screened.sort_by_key(|(_, screened)| screened.candidate);
        screened
    }

    /// Coupled groups of the network.
    fn groups(self) -> Option<usize> {
        self.results(Stage::Graph).find_map(|task| match &task.result {
            TaskResult::Graph(result) => Some(result.groups),
            _ => None,
        })
    }

    /// All measured sensitivities, by group.
    fn sensitivities(self) -> Vec<Sensitivity> {
        let mut all: Vec<Sensitivity> = self
            .results(Stage::Sensitivity)
            .filter_map(|task| match &task.result {
                TaskResult::Sensitivity(result) => Some(result.measured.iter().copied()),
                _ => None,
            })
            .flatten()
            .collect();
        all.sort_by_key(|sensitivity| (sensitivity.group, sensitivity.width));
        all
    }

    /// Every lightly tuned candidate with the index of its task, in candidate order.
    fn lightly_tuned(self) -> Vec<(usize, &'a LightlyTuned)> {
        let mut tuned: Vec<_> = self
            .results(Stage::LightTune)
            .filter_map(|task| match &task.result {
                TaskResult::LightTune(result) => Some(result.tuned.iter().map(|tuned| (task.index, tuned))),
                _ => None,
            })
            .flatten()
            .collect();
        tuned.sort_by_key(|(_, tuned)| tuned.candidate);
        tuned
    }

    /// Whether a candidate is a classical method's.
    fn is_baseline(self, candidate: usize) -> bool {
        let proposed = self.search().unwrap_or_default();
        proposed.iter().any(|costs| costs.index == candidate && Method::is_baseline(&costs.origin))
    }

    /// The `count` best screened candidates and every baseline, in candidate order; ties go to the earlier.
    fn best_and_baselines(self, count: usize) -> Vec<(usize, &'a Screened)> {
        let mut ranked = self.screened();
        ranked.sort_by(|(_, a), (_, b)| b.value().total_cmp(&a.value()).then(a.candidate.cmp(&b.candidate)));
        let (best, rest) = ranked.split_at(count.min(ranked.len()));
        let baselines = rest.iter().filter(|(_, screened)| self.is_baseline(screened.candidate));
        let mut chosen: Vec<_> = best.iter().chain(baselines).copied().collect();
        chosen.sort_by_key(|(_, screened)| screened.candidate);
        chosen
    }

    /// The candidates that are fully fine-tuned, each with the file that it starts from: the `top_k` best and the best
    /// baseline, so that a job is never worse than the classical methods.
    fn tune_starts(self) -> Vec<(usize, Input)> {
        let mut ranked: Vec<(f64, usize, Input)> = self
            .lightly_tuned()
            .into_iter()
            .map(|(task, light)| {
                (light.score, light.candidate, output(Stage::LightTune, task, &file::lightly_tuned(light.candidate)))
            })
            .collect();
        if ranked.is_empty() {
            ranked.extend(self.screened().into_iter().map(|(task, screened)| {
                let start = output(Stage::Screen, task, &file::screened(screened.candidate));
                (screened.value(), screened.candidate, start)
            }));
        }
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let top_k = self.spec.search.top_k.get();
        let best_baseline = ranked.iter().position(|(_, candidate, _)| self.is_baseline(*candidate));
        let is_chosen = |rank: usize| rank < top_k || Some(rank) == best_baseline;
        ranked
            .into_iter()
            .enumerate()
            .filter(|(rank, _)| is_chosen(*rank))
            .map(|(_, (_, candidate, start))| (candidate, start))
            .collect()
    }

    /// Every tuned candidate with the index of its task, in candidate order.
    fn tuned(self) -> Vec<(usize, &'a TuneResult)> {
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

    /// The best by validation; the first of equals. Tuned candidates go before screened ones.
    fn winner(self) -> Option<Winner> {
        let best_tuned = first_of_greatest(self.tuned(), |(_, tuned)| tuned.score).map(|(task, tuned)| Winner {
            candidate: tuned.candidate,
            stage: Stage::Tune,
            task,
            file: file::tuned(tuned.candidate),
        });
        best_tuned.or_else(|| {
            first_of_greatest(self.screened(), |(_, screened)| screened.value()).map(|(task, screened)| Winner {
                candidate: screened.candidate,
                stage: Stage::Screen,
                task,
                file: file::screened(screened.candidate),
            })
        })
    }

    /// Every candidate that was proposed, with what has been measured of it so far.
    pub fn candidates(self) -> Vec<CandidateReport> {
        let proposed: Vec<&CandidateCosts> = self.search().unwrap_or_default().iter().collect();
        let screened: Vec<&Screened> = self.screened().into_iter().map(|(_, screened)| screened).collect();
        let light: Vec<&LightlyTuned> = self.lightly_tuned().into_iter().map(|(_, light)| light).collect();
        let tuned: Vec<&TuneResult> = self.tuned().into_iter().map(|(_, tuned)| tuned).collect();
        measured(&proposed, &screened, &light, &tuned)
    }

    fn history(self) -> Option<History> {
        let import = self.results(Stage::Import).find_map(|task| match &task.result {
            TaskResult::Import(result) => Some(result.clone()),
            _ => None,
        })?;
        let export = self.results(Stage::Export).find_map(|task| match &task.result {
            TaskResult::Export(result) => Some(result.clone()),
            _ => None,
        })?;
        let mut seconds = StageSeconds::new();
        for task in self.finished {
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
        Some(History {
            import,
            encoder,
            search,
            proposed: self.search().unwrap_or_default().to_vec(),
            lightly_tuned: self.lightly_tuned().into_iter().map(|(_, tuned)| tuned.clone()).collect(),
            screened: self.screened().into_iter().map(|(_, screened)| screened.clone()).collect(),
            tuned: self.tuned().into_iter().map(|(_, tuned)| tuned.clone()).collect(),
            winner: export.candidate,
            export,
            seconds,
        })
    }
}

fn first_of_greatest<T>(items: Vec<T>, score: impl Fn(&T) -> f64) -> Option<T> {
    items.into_iter().reduce(|best, item| if score(&item) > score(&best) { item } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Accuracy, Costs, Equivalence};
    use crate::task::{CandidateCosts, ExportResult, ImportResult, ScreenResult, SearchResult};

    fn spec(more: &str) -> JobSpec {
        JobSpec::from_json(&format!(r#"{{"target": {{"flops_reduction": 0.5}}, "search": {{"top_k": 2}}{more}}}"#))
            .unwrap()
    }

    fn road(spec: &JobSpec, has_dataset: bool) -> Vec<&'static str> {
        let stages = std::iter::successors(Some(Stage::Import), |stage| stage.next(spec, has_dataset));
        stages.map(Stage::as_str).collect()
    }

    fn finished(stage: Stage, index: usize, result: TaskResult) -> FinishedTask {
        FinishedTask { stage, index, result, files: Vec::new(), seconds: 1.5 }
    }

    fn proposed(count: usize) -> FinishedTask {
        let costs = Costs { macs: 1, params: 1, channels: 1 };
        let candidate = |index| CandidateCosts {
            index,
            origin: if index + 1 == count { "uniform" } else { "calibrated" }.to_owned(),
            costs,
            reduction: 0.5,
            similarity: None,
            predicted_divergence: None,
        };
        let result = SearchResult { candidates: (0..count).map(candidate).collect(), search: None };
        finished(Stage::Search, 0, TaskResult::Search(result))
    }

    fn screened(task: usize, candidate: usize, accuracy: f64) -> FinishedTask {
        let equivalence = Equivalence { max_abs_diff: 0.0, tolerance: 1e-4 };
        let screened = vec![Screened { candidate, equivalence, accuracy: Some(accuracy), agreement: None }];
        finished(Stage::Screen, task, TaskResult::Screen(ScreenResult { screened }))
    }

    fn tuned(task: usize, candidate: usize, score: f64) -> FinishedTask {
        let result = TuneResult { candidate, epochs: Vec::new(), best_epoch: 1, accuracy: None, score };
        finished(Stage::Tune, task, TaskResult::Tune(result))
    }

    fn plan_after(stage: Stage, finished: &[FinishedTask]) -> Result<Vec<PlannedTask>, PlanError> {
        plan(stage, JobView { spec: &spec(""), has_dataset: true, finished })
    }

    #[test]
    fn a_classical_job_with_data_screens_and_tunes() {
        let whole = ["import", "graph", "search", "screen", "tune", "export", "verify"];
        assert_eq!(road(&spec(r#", "method": "uniform""#), true), whole);
    }

    #[test]
    fn sacp_trains_an_encoder_and_halves_before_it_tunes() {
        let whole =
            ["import", "graph", "encoder", "sensitivity", "search", "screen", "light_tune", "tune", "export", "verify"];
        assert_eq!(road(&spec(""), true), whole);
        let without_data = ["import", "graph", "encoder", "search", "screen", "export", "verify"];
        assert_eq!(road(&spec(""), false), without_data);
        let without_halving = road(&spec(r#", "fine_tune": {"light_epochs": 0}"#), true);
        assert!(!without_halving.contains(&"light_tune"));
    }

    #[test]
    fn every_stage_on_the_longest_road_is_read_back_from_its_name() {
        let names = road(&spec(""), true);
        assert_eq!(names.len(), Stage::ALL.len());
        assert!(names.iter().all(|name| Stage::parse(name).is_some_and(|stage| stage.as_str() == *name)));
    }

    #[test]
    fn without_data_or_fine_tuning_nothing_is_tuned() {
        let short = ["import", "graph", "search", "screen", "export", "verify"];
        assert_eq!(road(&spec(r#", "method": "uniform""#), false), short);
        assert_eq!(road(&spec(r#", "method": "uniform", "fine_tune": null"#), true), short);
    }

    #[test]
    fn candidates_are_screened_in_shards_that_together_hold_each_once() {
        let screen = plan_after(Stage::Screen, &[proposed(70)]).unwrap();
        assert_eq!(screen.iter().map(|task| task.index).collect::<Vec<_>>(), [0, 1, 2]);
        let all: Vec<usize> = screen
            .iter()
            .flat_map(|task| match &task.work {
                Work::Screen { candidates } => candidates.clone(),
                other => panic!("{other:?} in the screen stage"),
            })
            .collect();
        assert_eq!(all, (0..70).collect::<Vec<_>>());
    }

    #[test]
    fn the_better_third_and_every_baseline_are_lightly_tuned() {
        let mut done = vec![proposed(9)];
        done.extend((0..9).map(|index| screened(0, index, 0.9 - 0.05 * index as f64)));
        let light = plan_after(Stage::LightTune, &done).unwrap();
        assert_eq!(light[0].work, Work::LightTune { candidates: vec![0, 1, 2, 8] }, "8 is the baseline");
        assert!(light[0].inputs.contains(&output(Stage::Screen, 0, "screened-8.safetensors")));
    }

    #[test]
    fn the_best_k_and_the_best_baseline_are_tuned_each_by_a_task_of_its_own() {
        let done = [proposed(4), screened(0, 0, 0.4), screened(0, 1, 0.2), screened(1, 2, 0.3), screened(1, 3, 0.1)];
        let tune = plan_after(Stage::Tune, &done).unwrap();
        let works: Vec<&Work> = tune.iter().map(|task| &task.work).collect();
        assert_eq!(works, [0, 2, 3].map(|candidate| Work::Tune { candidate }).iter().collect::<Vec<_>>());
        assert!(tune[1].inputs.contains(&output(Stage::Screen, 1, "screened-2.safetensors")));
    }

    #[test]
    fn the_winner_is_the_best_tuned_candidate_and_the_first_of_equals() {
        let done = [proposed(3), screened(0, 0, 0.9), tuned(0, 0, 0.5), tuned(2, 2, 0.7), tuned(1, 1, 0.7)];
        let export = plan_after(Stage::Export, &done).unwrap();
        assert_eq!(export[0].work, Work::Export { candidate: 1, tuned: true });
        assert!(export[0].inputs.contains(&output(Stage::Tune, 1, "tuned-1.safetensors")));
    }

    #[test]
    fn without_tuning_the_best_screened_candidate_wins() {
        let export = plan_after(Stage::Export, &[proposed(2), screened(0, 0, 0.1), screened(1, 1, 0.2)]).unwrap();
        assert_eq!(export[0].work, Work::Export { candidate: 1, tuned: false });
    }

    #[test]
    fn verification_knows_the_seconds_of_every_stage_before_it() {
        let accuracy = Accuracy { val: 0.5, test: 0.5 };
        let import = ImportResult {
            input_shapes: vec![vec![1, 8, 8]],
            nodes: 1,
            max_abs_diff: 0.0,
            bytes: 1,
            sha256: "00".to_owned(),
            accuracy: Some(accuracy),
        };
        let export = ExportResult { candidate: 1, base_bytes: 2, pruned_bytes: 1, accuracy: None };
        let done = [
            finished(Stage::Import, 0, TaskResult::Import(import)),
            proposed(2),
            screened(0, 0, 0.1),
            screened(1, 1, 0.2),
            finished(Stage::Export, 0, TaskResult::Export(export)),
        ];
        let verify = plan_after(Stage::Verify, &done).unwrap();
        let Work::Verify { history } = &verify[0].work else { panic!("verify plans verification") };
        assert_eq!(history.seconds["screen"], 3.0);
        assert_eq!(history.winner, 1);
    }

    #[test]
    fn a_stage_whose_predecessor_is_missing_cannot_be_planned() {
        assert_eq!(plan_after(Stage::Screen, &[]).unwrap_err().missing, "search");
        assert_eq!(plan_after(Stage::Export, &[proposed(1)]).unwrap_err().missing, "screen or tune");
    }
}

//! The stage machine: which stage follows which, and the tasks of a stage.
//!
//! Both are pure functions of the spec and of what has finished, so that the server's transaction and the CLI's
//! local run take the same road. The caller runs every task of a stage, then asks for the next.

mod view;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::measurement::Measurements;
use crate::search::additive::{Probe, Sensitivity};
use crate::spec::{EncoderObjective, JobSpec, Method, Metric};
use crate::task::{Screened, TaskResult, Work, file};

use view::Contender;

/// A stage of a job. `Inspect` is the only one of an inspection, which looks at a model and prunes nothing. `Latency` belongs
/// to the target `latency_reduction`; `Importance`, `Calibration`, `Encoder`, `Sensitivity`, `Repair` and `LightTune` belong to
/// the method `sacp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    Inspect,
    Import,
    Graph,
    /// The latency of every layer at many widths.
    Latency,
    /// Gradients, for a criterion that needs them.
    Importance,
    /// A sample of configurations, for an encoder that is fitted to measurements.
    Calibration,
    Encoder,
    Sensitivity,
    Search,
    Screen,
    /// A few steps of distillation for every screened network.
    Repair,
    LightTune,
    Tune,
    Export,
    Verify,
}

impl Stage {
    pub const ALL: [Self; 15] = [
        Self::Inspect,
        Self::Import,
        Self::Graph,
        Self::Latency,
        Self::Importance,
        Self::Calibration,
        Self::Encoder,
        Self::Sensitivity,
        Self::Search,
        Self::Screen,
        Self::Repair,
        Self::LightTune,
        Self::Tune,
        Self::Export,
        Self::Verify,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inspect => "inspect",
            Self::Import => "import",
            Self::Graph => "graph",
            Self::Latency => "latency",
            Self::Importance => "importance",
            Self::Calibration => "calibration",
            Self::Encoder => "encoder",
            Self::Sensitivity => "sensitivity",
            Self::Search => "search",
            Self::Screen => "screen",
            Self::Repair => "repair",
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
        let halves = tunes && spec.method == Method::Sacp;
        let light_epochs = spec.fine_tune.as_ref().map_or(0, |fine_tune| fine_tune.light_epochs);
        let fits = spec.encoder.objective == EncoderObjective::Regression && has_dataset;
        match self {
            Self::Import => Some(Self::Graph),
            Self::Graph if spec.target.metric == Metric::Latency => Some(Self::Latency),
            Self::Graph | Self::Latency
                if spec.method == Method::Sacp && has_dataset && spec.importance.criterion.needs_data() =>
            {
                Some(Self::Importance)
            }
            Self::Graph | Self::Latency | Self::Importance if spec.method == Method::Sacp && fits => {
                Some(Self::Calibration)
            }
            Self::Graph | Self::Latency if spec.method == Method::Sacp => Some(Self::Encoder),
            Self::Importance | Self::Calibration => Some(Self::Encoder),
            Self::Encoder if has_dataset => Some(Self::Sensitivity),
            Self::Graph | Self::Latency | Self::Encoder | Self::Sensitivity => Some(Self::Search),
            Self::Search => Some(Self::Screen),
            Self::Screen if halves && spec.search.repair_steps > 0 => Some(Self::Repair),
            Self::Screen | Self::Repair if halves && light_epochs > 0 => Some(Self::LightTune),
            Self::Screen | Self::Repair | Self::LightTune if tunes => Some(Self::Tune),
            Self::Screen | Self::Repair | Self::LightTune | Self::Tune => Some(Self::Export),
            Self::Export => Some(Self::Verify),
            Self::Verify | Self::Inspect => None,
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
    pub device: String,
}

/// The job as the planner sees it.
#[derive(Debug, Clone, Copy)]
pub struct JobView<'a> {
    pub spec: &'a JobSpec,
    pub has_dataset: bool,
    /// Every finished task, in any order.
    pub finished: &'a [FinishedTask],
    /// What the stages before have taken over from earlier jobs.
    pub reused: &'a Measurements,
}

/// What a stage is planned to be.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Empty when there is nothing left to do: the caller goes on to the next stage.
    pub tasks: Vec<PlannedTask>,
    /// What the job takes over instead of measuring it.
    pub reused: Measurements,
}

/// A stage cannot be planned: an earlier stage's result is not there. Always our bug.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("stage {} cannot be planned: no finished {missing}", .stage.as_str())]
pub struct PlanError {
    pub stage: Stage,
    pub missing: &'static str,
}

/// The tasks of a stage whose predecessors have all finished, without those whose results are `known` from earlier jobs.
pub fn plan(stage: Stage, job: JobView<'_>, known: &Measurements) -> Result<Plan, PlanError> {
    let reused = taken_over(stage, job, known)?;
    Ok(Plan { tasks: tasks(stage, job, &reused)?, reused })
}

/// What a stage would measure and is known.
fn taken_over(stage: Stage, job: JobView<'_>, known: &Measurements) -> Result<Measurements, PlanError> {
    let missing = |missing| PlanError { stage, missing };
    let mut reused = Measurements::default();
    match stage {
        Stage::Sensitivity => {
            let probes = &job.graph().ok_or_else(|| missing("graph"))?.probes;
            let wanted = |known: &&Sensitivity| probes.contains(&known.probe());
            reused.sensitivities.extend(known.sensitivities.iter().filter(wanted).copied());
        }
        Stage::Screen => {
            let proposed = job.search().ok_or_else(|| missing("search"))?;
            let wanted = |known: &&Screened| proposed.iter().any(|costs| costs.index == known.candidate);
            reused.screened.extend(known.screened.iter().filter(wanted).cloned());
        }
        _ => {}
    }
    Ok(reused)
}

fn tasks(stage: Stage, job: JobView<'_>, reused: &Measurements) -> Result<Vec<PlannedTask>, PlanError> {
    let one = |work, inputs| Ok(vec![PlannedTask { index: 0, work, inputs }]);
    let missing = |missing| PlanError { stage, missing };
    let graph = || [output(Stage::Import, 0, file::GRAPH), output(Stage::Import, 0, file::WEIGHTS)];
    let candidates = || output(Stage::Search, 0, file::CANDIDATES);
    let importance = || job.results(Stage::Importance).map(|_| output(Stage::Importance, 0, file::IMPORTANCE));
    let latency = || match job.latency() {
        None if job.spec.target.metric == Metric::Latency => Err(missing("latency")),
        table => Ok(table.cloned().map(Box::new)),
    };
    let model = || Input { name: file::MODEL.to_owned(), source: Source::Model };
    let dataset = || job.has_dataset.then(|| Input { name: file::DATASET.to_owned(), source: Source::Dataset });
    // A rung of successive halving: training tasks with `size` contenders each.
    let rung = |contenders: Vec<Contender>, size, work: fn(Vec<usize>) -> Work| {
        if contenders.is_empty() {
            return Err(missing("screen"));
        }
        let planned = |(index, shard): (usize, &[Contender])| PlannedTask {
            index,
            work: work(shard.iter().map(|contender| contender.candidate).collect()),
            inputs: graph()
                .into_iter()
                .chain([candidates()])
                .chain(shard.iter().filter_map(|contender| contender.weights.clone()))
                .chain(dataset())
                .collect(),
        };
        Ok(sharded(&contenders, size).map(planned).collect())
    };

    match stage {
        Stage::Inspect => one(Work::Inspect, vec![model()]),
        Stage::Import => one(Work::Import, [model()].into_iter().chain(dataset()).collect()),
        Stage::Graph => one(Work::Graph, graph().into()),
        Stage::Latency => one(Work::Latency, graph().into()),
        Stage::Importance => one(Work::Importance, graph().into_iter().chain(dataset()).collect()),
        Stage::Calibration => {
            let latency = latency()?;
            let all: Vec<usize> = (0..job.spec.encoder.samples.get()).collect();
            Ok(sharded(&all, CANDIDATES_PER_TASK)
                .map(|(index, shard)| PlannedTask {
                    index,
                    work: Work::Calibration { sample: shard[0]..shard[0] + shard.len(), latency: latency.clone() },
                    inputs: graph().into_iter().chain(importance()).chain(dataset()).collect(),
                })
                .collect())
        }
        Stage::Encoder => one(Work::Encoder { calibration: job.calibration() }, graph().into()),
        Stage::Sensitivity => {
            let is_reused = |probe: &Probe| reused.sensitivities.iter().any(|known| known.probe() == *probe);
            let left: Vec<Probe> = job.probes().iter().copied().filter(|probe| !is_reused(probe)).collect();
            Ok(sharded(&left, PROBES_PER_TASK)
                .map(|(index, shard)| PlannedTask {
                    index,
                    work: Work::Sensitivity { probes: shard.to_vec() },
                    inputs: graph().into_iter().chain(importance()).chain(dataset()).collect(),
                })
                .collect())
        }
        Stage::Search => {
            let encoder = job.results(Stage::Encoder).map(|_| output(Stage::Encoder, 0, file::ENCODER));
            let sensitivities = job.sensitivities();
            one(
                Work::Search { sensitivities, latency: latency()? },
                graph().into_iter().chain(importance()).chain(encoder).collect(),
            )
        }
        Stage::Screen => {
            let proposed = job.search().ok_or_else(|| missing("search"))?;
            let is_reused = |index: usize| reused.screened.iter().any(|known| known.candidate == index);
            let indices: Vec<usize> =
                proposed.iter().map(|candidate| candidate.index).filter(|&index| !is_reused(index)).collect();
            // A method that does not search proposes a single network.
            let compared = job.has_dataset.then(|| job.compared_candidate()).flatten();
            let shard = if job.spec.method == Method::Sacp { CANDIDATES_PER_TASK } else { 1 };
            Ok(sharded(&indices, shard)
                .map(|(index, shard)| PlannedTask {
                    index,
                    work: Work::Screen {
                        candidates: shard.to_vec(),
                        compare_channels_of: compared.filter(|_| index == 0),
                    },
                    inputs: graph().into_iter().chain(importance()).chain([candidates()]).chain(dataset()).collect(),
                })
                .collect())
        }
        // All of the screened, then the better third and every baseline, then the best few.
        Stage::Repair => rung(job.contenders(), CANDIDATES_PER_REPAIR_TASK, |candidates| Work::Repair { candidates }),
        Stage::LightTune => {
            let third = job.screened().len().div_ceil(3).max(job.spec.search.top_k.get());
            let chosen = job.best_and_baselines(third);
            rung(chosen, CANDIDATES_PER_LIGHT_TASK, |candidates| Work::LightTune { candidates })
        }
        Stage::Tune => rung(job.finalists(), 1, |candidates| Work::Tune { candidate: candidates[0] }),
        Stage::Export => {
            let winner = job.winner().ok_or_else(|| missing("screen or tune"))?;
            one(
                Work::Export { candidate: winner.candidate, tuned: winner.stage == Stage::Tune },
                graph().into_iter().chain([candidates()]).chain(winner.weights).chain(dataset()).collect(),
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

/// Sensitivities that one task measures.
const PROBES_PER_TASK: usize = 64;

/// Candidates that one task screens: about a minute's work, so that starting a process and loading data do not count.
const CANDIDATES_PER_TASK: usize = 32;

const CANDIDATES_PER_REPAIR_TASK: usize = 16;

const CANDIDATES_PER_LIGHT_TASK: usize = 8;

fn sharded<T>(items: &[T], size: usize) -> impl Iterator<Item = (usize, &[T])> {
    items.chunks(size).enumerate()
}

fn output(stage: Stage, index: usize, name: &str) -> Input {
    Input { name: name.to_owned(), source: Source::Output { stage, index, name: name.to_owned() } }
}

/// The weights that a screen task left; `None` when there was none because its result was taken over.
fn screened_file(task: Option<usize>, candidate: usize) -> Option<Input> {
    task.map(|task| output(Stage::Screen, task, &file::screened(candidate)))
}

#[cfg(test)]
mod tests;

//! A job as its stages see it: what it is to do, what has finished, and the tasks that come next.

use serde::{Deserialize, Serialize};

use super::measurement::Measurements;
use super::{Stage, TaskResult, Work};
use crate::spec::JobSpec;

/// Where a task's input file comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum Source {
    /// The user's model.
    Model,
    /// The user's data set.
    Dataset,
    /// The samples that an earlier job has prepared of the same data set in the same way. Where there are none the task goes without them.
    Prepared {
        /// Digest of all that they depend on beside the data set.
        fingerprint: String,
    },
    /// An output of a finished task of the same job.
    Output {
        /// The stage of that task.
        stage: Stage,
        /// Its number in the stage.
        index: usize,
        /// The name of the file.
        name: String,
    },
}

/// A file that a task finds in its folder under `name`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// The file's name in the folder.
    pub name: String,
    /// Where it comes from.
    pub source: Source,
}

impl Input {
    /// An output of the task `index` of a stage, under its own name.
    pub(super) fn output(stage: Stage, index: usize, name: &str) -> Self {
        Self { name: name.to_owned(), source: Source::Output { stage, index, name: name.to_owned() } }
    }
}

/// A task that is to be run: the n-th of its stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedTask {
    /// Its number in the stage, from 0.
    pub index: usize,
    /// What it is to do.
    pub work: Work,
    /// The files that it reads.
    pub inputs: Vec<Input>,
}

impl PlannedTask {
    /// The only task of a stage.
    pub(super) fn only(work: Work, inputs: impl IntoIterator<Item = Input>) -> Vec<Self> {
        vec![Self { index: 0, work, inputs: inputs.into_iter().collect() }]
    }
}

/// A task of the job that is done.
#[derive(Debug, Clone, PartialEq)]
pub struct FinishedTask {
    /// Its stage.
    pub stage: Stage,
    /// Its number in the stage.
    pub index: usize,
    /// What it found out.
    pub result: TaskResult,
    /// Names of the files that it wrote.
    pub files: Vec<String>,
    /// Where its time went.
    pub time: TaskTime,
    /// What computed it: `cpu`, `cuda:0`.
    pub device: String,
}

/// Where the time of a task went, in seconds of wall time.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct TaskTime {
    /// From the moment when it could have begun to its start.
    pub waiting: f64,
    /// From its start to its end.
    pub running: f64,
    /// Of `running`, what the engine computed; the rest is the start of the engine and the transport of files.
    pub computing: f64,
}

/// A job as its stages see it.
#[derive(Debug, Clone, Copy)]
pub struct JobView<'a> {
    /// What the user asked for.
    pub spec: &'a JobSpec,
    /// Whether the user gave a data set.
    pub has_dataset: bool,
    /// Every finished task, in any order.
    pub finished: &'a [FinishedTask],
    /// What the stages before have taken over from earlier jobs.
    pub reused: &'a Measurements,
}

impl<'a> JobView<'a> {
    /// The number and the result of every finished task of a stage, `R` being the result type of the stage.
    pub(super) fn results<R: 'static>(self, stage: Stage) -> impl Iterator<Item = (usize, &'a R)> {
        let of_stage = self.finished.iter().filter(move |task| task.stage == stage);
        of_stage.filter_map(|task| Some((task.index, task.result.as_any().downcast_ref()?)))
    }

    /// The result of a stage that has one task; `None` before that has finished.
    pub(super) fn result<R: 'static>(self, stage: Stage) -> Option<&'a R> {
        self.results(stage).next().map(|(_, result)| result)
    }

    /// Seconds that the finished tasks ran, all stages added up.
    pub(super) fn seconds(self) -> f64 {
        self.finished.iter().map(|task| task.time.running).sum()
    }
}

/// What a stage is planned to be.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Empty when there is nothing left to do: the caller goes on to the next stage.
    pub tasks: Vec<PlannedTask>,
    /// What the job takes over instead of measuring it.
    pub reused: Measurements,
}

/// A stage that cannot be planned, because an earlier stage's result is not there. Always our bug.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("stage {} cannot be planned: no finished {missing}", .stage.as_str())]
pub struct PlanError {
    /// The stage that was to be planned.
    pub stage: Stage,
    /// What is not there.
    pub missing: &'static str,
}

/// Numbered parts of `items`, each of `size` at most.
pub(super) fn sharded<T>(items: &[T], size: usize) -> impl Iterator<Item = (usize, &[T])> {
    items.chunks(size).enumerate()
}

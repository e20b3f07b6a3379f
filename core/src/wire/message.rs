//! Engine to worker: how far the task is, and how it ended.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::plain_text;
use crate::rejection::Rejection;
use crate::stage::TaskResult;

/// Characters of the texts of a [`Progress`].
const LONGEST_NOTE: usize = 300;

/// Characters of a name in a [`Reading`], and how many figures it has at most.
const LONGEST_NAME: usize = 60;
const MOST_FIGURES: usize = 8;

/// Engine to worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum EngineMessage {
    /// How far the task is.
    Progress(Progress),
    /// What was measured after a step; none is left out, however fast they follow each other.
    Reading(Reading),
    /// A line for the job's `log.txt`.
    Log {
        /// The line, without a line break.
        message: String,
    },
    /// A file in the task's folder from which another attempt can go on. It is the worker's from now on.
    Checkpoint {
        /// Name of the file in the task's folder.
        file: String,
    },
    /// How the task ended; the last frame.
    Outcome(Outcome),
}

/// How far a task is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Progress {
    /// Units that are done.
    pub done: u64,
    /// Units in all.
    pub total: u64,
    /// What is counted: `epochs`, `candidates`, `steps`.
    pub unit: String,
    /// Units per second, over the last few seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// A figure worth showing: `validation accuracy 0.953`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Progress {
    /// Fit to be kept and shown: texts of one line and bounded length, without characters that a terminal obeys.
    #[must_use]
    pub fn presentable(self) -> Self {
        let short = |text: String| plain_text::line_within(&text, LONGEST_NOTE);
        Self { unit: short(self.unit), note: self.note.map(short), ..self }
    }
}

/// What a task measured after one of its steps: the losses of an epoch, the accuracy of a candidate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Reading {
    /// What the steps are: `epoch`, `candidate`.
    pub unit: String,
    /// Number of the step: epochs count from 1, a candidate has its number in the job.
    pub step: u64,
    /// The network that the step was for, where a task has steps of several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate: Option<usize>,
    /// The figures by name, such as `training_loss` and `validation_accuracy` (0 to 1).
    pub figures: BTreeMap<String, f64>,
}

impl Reading {
    /// Fit to be kept and shown, as [`Progress::presentable`]: names are bounded in number and length, and what is no finite number is
    /// left out, since JSON has no way to write it.
    #[must_use]
    pub fn presentable(self) -> Self {
        let short = |text: &str| plain_text::line_within(text, LONGEST_NAME);
        let figures = self.figures.iter().filter(|(_, figure)| figure.is_finite()).take(MOST_FIGURES);
        let figures = figures.map(|(name, &figure)| (short(name), figure)).collect();
        Self { unit: short(&self.unit), figures, ..self }
    }
}

/// The last frame of an engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// The task did its work.
    Done {
        /// What the task found out.
        result: TaskResult,
        /// Names of the files that it wrote into the task's folder.
        files: Vec<String>,
        /// What computed it: `cpu`, `cuda:0`.
        device: String,
        /// Seconds that the stage computed, without the start of the process.
        computing_s: f64,
    },
    /// The user can mend it; permanent.
    Rejected {
        /// What the user is told.
        rejection: Rejection,
    },
    /// Our bug or the world's accident, with everything for the log.
    Failed {
        /// What happened, for the log.
        message: String,
    },
}

/// A result with where it was computed, as it is stored with the task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Computed {
    /// What the task found out.
    #[serde(flatten)]
    pub result: TaskResult,
    /// `cpu`, `cuda:0`.
    #[serde(default = "unknown_device")]
    pub device: String,
    /// Seconds that the engine computed; `None` in results of version 0.1.
    #[serde(default)]
    pub computing_s: Option<f64>,
}

/// Results that were stored without a device.
fn unknown_device() -> String {
    "unknown".to_owned()
}

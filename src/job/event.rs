//! What happens to a job, in order; `GET /v1/jobs/{id}/events` shows it.

use secateur_core::recovery::DecidedBy;
use secateur_core::stage::Stage;
use secateur_core::wire::Reading;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::{Best, JobError};

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
#[schema(as = EventBody)]
pub enum Event {
    Queued {},
    /// A worker took the first task.
    Running {},
    /// A stage began with this many tasks.
    Stage {
        stage: Stage,
        tasks: usize,
    },
    /// Results of a stage were taken over from earlier jobs on the same model and data set.
    Reused {
        stage: Stage,
        measurements: usize,
        /// Seconds of computing that went into them.
        #[serde(default)]
        saved_s: f64,
    },
    Progress {
        stage: Stage,
        /// The task of the stage.
        index: usize,
        done: u64,
        total: u64,
        unit: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rate: Option<f64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
        /// What the task measured since its last event. After an attempt that was lost, a step may come twice.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        readings: Vec<Reading>,
    },
    TaskFinished {
        stage: Stage,
        index: usize,
        seconds: f64,
        /// What the task measured since its last event of progress.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        readings: Vec<Reading>,
    },
    /// A task was lost or crashed and will run again.
    TaskRetried {
        stage: Stage,
        index: usize,
        reason: String,
    },
    Best {
        best: Best,
    },
    /// The finalists can be had at `/v1/jobs/{id}/judgements`, and their scores are waited for.
    JudgementAsked {
        /// The candidates, the best by the job's own metric first.
        finalists: Vec<usize>,
        #[serde(with = "time::serde::rfc3339")]
        deadline: OffsetDateTime,
    },
    /// The judge gave a finalist a score, or another one than before.
    Judged {
        candidate: usize,
        score: f64,
        /// Finalists that have a score.
        done: u64,
        /// Finalists.
        total: u64,
    },
    JudgementEnded {
        decided_by: DecidedBy,
        /// The one that is exported.
        candidate: usize,
        /// Why it was not the judge, a sentence.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// Nothing more of it runs until it is resumed.
    Paused {},
    Resumed {},
    Succeeded {},
    Failed {
        error: JobError,
    },
    Cancelled {},
}

impl Event {
    /// Whether it is the last one of its job.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Succeeded {} | Self::Failed { .. } | Self::Cancelled {})
    }
}

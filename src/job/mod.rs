//! What a job is to everyone above the tables: its status, its error, its events, the best network so far, its result.
//!
//! Pure types and functions; [`crate::queue`] moves jobs from one state to the next.

mod best;
mod error;
mod estimate;
mod event;
mod order;
mod progress;

use secateur_core::configuration::Origin;
use secateur_core::report::{NetworkReport, Report};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

pub use best::Best;
pub use error::{INTERNAL, JobError};
pub use estimate::eta_s;
pub use event::Event;
pub use order::Order;
pub use progress::{StageProgress, TaskProgress, progress_by_stage};

/// What a job is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobKind {
    Prune,
    /// Looks at a model; shown with it and not among the jobs.
    Inspect,
}

impl JobKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prune => "prune",
            Self::Inspect => "inspect",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        [Self::Prune, Self::Inspect].into_iter().find(|kind| kind.as_str() == name)
    }
}

/// Where a job is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobStatus {
    Queued,
    Running,
    Succeeded,
    Failed,
    Cancelled,
}

impl JobStatus {
    pub const ALL: [Self; 5] = [Self::Queued, Self::Running, Self::Succeeded, Self::Failed, Self::Cancelled];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }

    /// Whether nothing will happen to the job any more.
    pub fn is_final(self) -> bool {
        match self {
            Self::Queued | Self::Running => false,
            Self::Succeeded | Self::Failed | Self::Cancelled => true,
        }
    }
}

/// The figures of a job that succeeded, out of its report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobResult {
    /// Which method the network came from.
    #[schema(value_type = String)]
    pub winner: Origin,
    pub base: NetworkReport,
    pub pruned: NetworkReport,
    /// Share removed, by metric (`flops_reduction`, `params_reduction`, `channel_reduction`, `latency_reduction` as measured).
    pub reduction: BTreeMap<String, f64>,
}

impl From<&Report> for JobResult {
    fn from(report: &Report) -> Self {
        Self {
            winner: report.winner,
            base: report.base.clone(),
            pruned: report.pruned.clone(),
            reduction: report.reduction.clone(),
        }
    }
}

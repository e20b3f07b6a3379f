//! `/v1/jobs`: what a job looks like, and its endpoints.

pub(super) mod cancel;
pub(super) mod candidates;
pub(super) mod delete;
pub(super) mod events;
pub(super) mod list;
pub(super) mod show;
pub(super) mod submit;

use std::collections::BTreeMap;

use secateur_core::spec::JobSpec;
use secateur_core::stage::Stage;
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::database::Database;
use crate::http::App;
use crate::http::answer::problem::Problem;
use crate::http::request::id::not_found;
use crate::id::{DatasetId, JobId, ModelId};
use crate::job::{Best, JobError, JobResult, JobStatus, Order, StageProgress, TaskProgress, progress_by_stage};
use crate::table::job::{self, Job};
use crate::table::task;

/// A job.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Job)]
pub(super) struct JobOut {
    #[schema(value_type = String, example = "job_0198c2f4a7b17c3e8d21f00dcafe1234")]
    id: JobId,
    name: Option<String>,
    status: JobStatus,
    /// The stage that runs, or the last one that did.
    stage: Stage,
    /// By stage, for every stage that has begun.
    progress: BTreeMap<&'static str, StageProgress>,
    /// The best network so far, once one is measured.
    best: Option<Best>,
    /// When `status` is `succeeded`.
    result: Option<JobResult>,
    /// When `status` is `failed`.
    error: Option<JobError>,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    started_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    finished_at: Option<OffsetDateTime>,
    /// As run, defaults filled in; in a list without `config`.
    #[schema(value_type = JobSpec)]
    spec: Order,
    #[schema(value_type = String)]
    model_id: ModelId,
    #[schema(value_type = Option<String>)]
    dataset_id: Option<DatasetId>,
    labels: BTreeMap<String, String>,
}

/// A page of jobs, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct JobPage {
    pub items: Vec<JobOut>,
    /// `after` of the next page; `null` on the last one.
    #[schema(value_type = Option<String>)]
    pub next: Option<JobId>,
}

impl JobOut {
    /// The view of one job.
    pub(super) async fn find(app: &App, id: JobId) -> Result<Self, Problem> {
        let job = job::find(app.database.pool(), id).await?.ok_or_else(|| not_found::<JobId>(id))?;
        let view = Self::of(&app.database, vec![job]).await?.pop();
        view.ok_or_else(|| not_found::<JobId>(id))
    }

    /// The views of some jobs, with the progress of all their tasks.
    pub(super) async fn of(database: &Database, jobs: Vec<Job>) -> Result<Vec<Self>, Problem> {
        let ids: Vec<JobId> = jobs.iter().map(|job| job.id).collect();
        let mut by_job: BTreeMap<JobId, Vec<TaskProgress>> = BTreeMap::new();
        for (job, progress) in task::progress(database.pool(), &ids).await? {
            by_job.entry(job).or_default().push(progress);
        }
        Ok(jobs
            .into_iter()
            .map(|job| {
                let tasks = by_job.remove(&job.id).unwrap_or_default();
                Self::new(job, &tasks)
            })
            .collect())
    }

    fn new(job: Job, tasks: &[TaskProgress]) -> Self {
        let by_stage = progress_by_stage(tasks, &job.reused);
        Self {
            id: job.id,
            name: job.name,
            status: job.status,
            stage: job.stage,
            progress: by_stage.into_iter().map(|(stage, progress)| (stage.as_str(), progress)).collect(),
            best: job.best,
            result: job.result,
            error: job.error,
            created_at: job.created_at,
            started_at: job.started_at,
            finished_at: job.finished_at,
            spec: job.order,
            model_id: job.model_id,
            dataset_id: job.dataset_id,
            labels: job.labels,
        }
    }
}

//! `/v1/jobs`: what a job looks like, and its endpoints.

pub(super) mod cancel;
pub(super) mod candidates;
mod clone;
pub(super) mod delete;
pub(super) mod events;
pub(super) mod list;
pub(super) mod pause;
pub(super) mod resume;
pub(super) mod show;
pub(super) mod submit;

use std::collections::BTreeMap;

use secateur_core::spec::JobSpec;
use secateur_core::stage::Stage;
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::http::App;
use crate::http::answer::problem::{Code, Problem};
use crate::http::request::id::not_found;
use crate::id::{DatasetId, JobId, ModelId};
use crate::job::{Best, JobError, JobResult, JobStatus, Order, StageProgress, TaskProgress, eta_s, progress_by_stage};
use crate::table::job::{self, Job};
use crate::table::task;
use crate::upkeep::Keep;

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
    /// Seconds until the job ends once it runs, as an earlier job on the same model and data set with the same method tells; `null` without
    /// one, and in lists.
    eta_s: Option<f64>,
    /// Seconds of computing that the job need not spend, since earlier ones on the same model and data set had: what `reused` of the stages
    /// counts.
    saved_s: f64,
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
    /// Since when the job is paused: `status` is what it was, and nothing more of it runs until it is resumed.
    #[serde(with = "time::serde::rfc3339::option")]
    paused_at: Option<OffsetDateTime>,
    /// When the job goes with its artifacts, on a server that keeps ended jobs for some days; afterwards it is answered with 410.
    #[serde(with = "time::serde::rfc3339::option")]
    expires_at: Option<OffsetDateTime>,
    /// The job that it was made from.
    #[schema(value_type = Option<String>)]
    clone_of: Option<JobId>,
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

/// Refuses what can only be done with a job that has not ended.
fn has_ended(id: JobId, status: JobStatus, verb: &str) -> Problem {
    let ended = if status == JobStatus::Cancelled { "is" } else { "has" };
    let detail = format!("Job `{id}` {ended} {}: there is nothing to {verb}.", status.as_str());
    Problem::new(Code::JobHasEnded, detail)
}

impl JobOut {
    /// The view of one job.
    pub(super) async fn find(app: &App, id: JobId) -> Result<Self, Problem> {
        let pool = app.database.pool();
        let job = job::find(pool, id).await?.ok_or_else(|| not_found::<JobId>(id))?;
        let tasks: Vec<TaskProgress> = task::progress(pool, &[id]).await?.into_iter().map(|(_, task)| task).collect();
        let earlier = match job.status.is_final() {
            true => BTreeMap::new(),
            false => task::seconds_of_the_like(pool, id).await?,
        };
        Ok(Self::new(job, &tasks, &earlier, app.upkeep.keep))
    }

    /// The views of some jobs, with the progress of all their tasks.
    pub(super) async fn of(app: &App, jobs: Vec<Job>) -> Result<Vec<Self>, Problem> {
        let ids: Vec<JobId> = jobs.iter().map(|job| job.id).collect();
        let mut by_job: BTreeMap<JobId, Vec<TaskProgress>> = BTreeMap::new();
        for (job, progress) in task::progress(app.database.pool(), &ids).await? {
            by_job.entry(job).or_default().push(progress);
        }
        Ok(jobs
            .into_iter()
            .map(|job| {
                let tasks = by_job.remove(&job.id).unwrap_or_default();
                Self::new(job, &tasks, &BTreeMap::new(), app.upkeep.keep)
            })
            .collect())
    }

    fn new(job: Job, tasks: &[TaskProgress], earlier: &BTreeMap<Stage, f64>, keep: Keep) -> Self {
        let by_stage = progress_by_stage(tasks, &job.reused);
        Self {
            id: job.id,
            name: job.name,
            status: job.status,
            stage: job.stage,
            eta_s: eta_s(job.stage, &by_stage, earlier),
            progress: by_stage.into_iter().map(|(stage, progress)| (stage.as_str(), progress)).collect(),
            best: job.best,
            result: job.result,
            error: job.error,
            created_at: job.created_at,
            started_at: job.started_at,
            finished_at: job.finished_at,
            paused_at: job.paused_at,
            expires_at: job.finished_at.zip(keep.jobs).map(|(finished_at, keep)| finished_at + keep),
            clone_of: job.clone_of,
            saved_s: job.saved_s,
            spec: job.order,
            model_id: job.model_id,
            dataset_id: job.dataset_id,
            labels: job.labels,
        }
    }
}

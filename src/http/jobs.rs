//! `/v1/jobs`: list, show, cancel, delete. [`super::submit`] makes them.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::job_view::{JobOut, JobPage};
use super::problem::{Code, Problem, ProblemDocument};
use super::request::{Own, Parameters, not_found};
use super::{App, wait};
use crate::access::{Caller, Scope};
use crate::id::JobId;
use crate::job::JobStatus;
use crate::queue::{Cancellation, Deletion};
use crate::table::job::{self, Filter};

/// Jobs, newest first.
#[utoipa::path(get, path = "/v1/jobs", tag = "jobs",
    params(
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 200, description = "Items of a page, 50 by default"),
        ("after" = Option<String>, Query, description = "`next` of the page before"),
        ("status" = Option<JobStatus>, Query, description = "Only jobs with this status"),
    ),
    responses(
        (status = 200, body = JobPage),
        (status = 400, body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub async fn list(State(app): State<App>, caller: Caller, parameters: Parameters) -> Result<Json<JobPage>, Problem> {
    let limit = parameters.limit()?;
    let allowed = JobStatus::ALL.map(|status| format!("`{}`", status.as_str())).join(", ");
    let status = parameters.get("status", JobStatus::parse, &format!("one of {allowed}"))?;
    let filter = Filter { tenant: caller.tenant, status, before: parameters.after()? };
    let database = app.queue.database();
    let mut jobs = job::list(database.pool(), &filter, limit + 1).await?;
    let next = (jobs.len() > limit as usize).then(|| jobs[limit as usize - 1].id);
    jobs.truncate(limit as usize);
    Ok(Json(JobPage { items: JobOut::of(database, jobs).await?, next }))
}

/// A job; with `wait`, as soon as its status changes.
#[utoipa::path(get, path = "/v1/jobs/{id}", tag = "jobs",
    params(
        ("id" = String, Path),
        ("wait" = Option<u64>, Query, maximum = 60,
         description = "Seconds to wait for the status to change; a job that has ended answers at once"),
    ),
    responses(
        (status = 200, body = JobOut),
        (status = 400, body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub async fn show(
    State(app): State<App>,
    Own(id): Own<JobId>,
    parameters: Parameters,
) -> Result<Json<JobOut>, Problem> {
    if let Some(longest) = wait::longest(&parameters)?
        && let Some(now) = job::status(app.queue.database().pool(), id).await?
    {
        wait::until(&app, id, longest, |status| status != now || status.is_final()).await?;
    }
    Ok(Json(find(&app, id).await?))
}

/// Cancel a job. What it has found so far stays.
#[utoipa::path(post, path = "/v1/jobs/{id}/cancel", tag = "jobs",
    params(("id" = String, Path)),
    responses(
        (status = 200, body = JobOut),
        (status = 404, body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub async fn cancel(State(app): State<App>, caller: Caller, Own(id): Own<JobId>) -> Result<Json<JobOut>, Problem> {
    caller.require(Scope::Submit)?;
    match app.queue.cancel(id).await? {
        Cancellation::Cancelled => Ok(Json(find(&app, id).await?)),
        Cancellation::HasEnded(status) => {
            let detail = format!("Job `{id}` has {}: there is nothing to cancel.", status.as_str());
            Err(Problem::new(Code::JobHasEnded, detail))
        }
        Cancellation::NoSuchJob => Err(not_found::<JobId>(id)),
    }
}

/// Delete a job that has ended, with its events and artifacts.
#[utoipa::path(delete, path = "/v1/jobs/{id}", tag = "jobs",
    params(("id" = String, Path)),
    responses(
        (status = 204, description = "It is gone"),
        (status = 404, body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub async fn delete(State(app): State<App>, caller: Caller, Own(id): Own<JobId>) -> Result<StatusCode, Problem> {
    caller.require(Scope::Submit)?;
    match app.queue.delete(id).await? {
        Deletion::Deleted => Ok(app.free_blobs().await),
        Deletion::NotEnded(status) => {
            let detail = format!("Job `{id}` is {}: only a job that has ended can be deleted.", status.as_str());
            Err(Problem::new(Code::JobNotEnded, detail).hint(format!("POST /v1/jobs/{id}/cancel ends it.")))
        }
        Deletion::NoSuchJob => Err(not_found::<JobId>(id)),
    }
}

/// The view of one job.
pub async fn find(app: &App, id: JobId) -> Result<JobOut, Problem> {
    let database = app.queue.database();
    let job = job::find(database.pool(), id).await?.ok_or_else(|| not_found::<JobId>(id))?;
    let view = JobOut::of(database, vec![job]).await?.pop();
    view.ok_or_else(|| not_found::<JobId>(id))
}

//! `POST /v1/jobs/{id}/resume`

use axum::Json;
use axum::extract::State;

use super::{JobOut, has_ended};
use crate::access::{Caller, Scope};
use crate::http::App;
use crate::http::answer::problem::{Problem, ProblemDocument};
use crate::http::request::id::{Own, not_found};
use crate::id::JobId;
use crate::queue::Pausing;

/// Resume a job that was paused.
#[utoipa::path(post, path = "/v1/jobs/{id}/resume", operation_id = "resume_job", tag = "jobs",
    params(("id" = String, Path)),
    responses(
        (status = 200, body = JobOut),
        (status = 404, body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub(crate) async fn resume(
    State(app): State<App>,
    caller: Caller,
    Own(id): Own<JobId>,
) -> Result<Json<JobOut>, Problem> {
    caller.require(Scope::Submit)?;
    match app.queue.resume(id).await? {
        Pausing::Done => Ok(Json(JobOut::find(&app, id).await?)),
        Pausing::HasEnded(status) => Err(has_ended(id, status, "resume")),
        Pausing::NoSuchJob => Err(not_found::<JobId>(id)),
    }
}

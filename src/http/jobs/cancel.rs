//! `POST /v1/jobs/{id}/cancel`

use axum::Json;
use axum::extract::State;

use super::{JobOut, has_ended};
use crate::access::{Caller, Scope};
use crate::http::App;
use crate::http::answer::problem::{Problem, ProblemDocument};
use crate::http::request::id::{Own, not_found};
use crate::id::JobId;
use crate::queue::Cancellation;

/// Cancel a job. What it has found so far stays.
#[utoipa::path(post, path = "/v1/jobs/{id}/cancel", operation_id = "cancel_job", tag = "jobs",
    params(("id" = String, Path)),
    responses(
        (status = 200, body = JobOut),
        (status = 404, body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub(crate) async fn cancel(
    State(app): State<App>,
    caller: Caller,
    Own(id): Own<JobId>,
) -> Result<Json<JobOut>, Problem> {
    caller.require(Scope::Submit)?;
    match app.queue.cancel(id).await? {
        Cancellation::Cancelled => Ok(Json(JobOut::find(&app, id).await?)),
        Cancellation::HasEnded(status) => Err(has_ended(id, status, "cancel")),
        Cancellation::NoSuchJob => Err(not_found::<JobId>(id)),
    }
}

//! `POST /v1/jobs/{id}/pause`

use axum::Json;
use axum::extract::State;

use super::{JobOut, has_ended};
use crate::access::{Caller, Scope};
use crate::http::App;
use crate::http::answer::problem::{Problem, ProblemDocument};
use crate::http::request::id::{Own, not_found};
use crate::id::JobId;
use crate::queue::Pausing;

/// Pause a job: nothing more of it runs until it is resumed. A task that runs is stopped and goes on from its last checkpoint later; the
/// deadline of a judge goes on.
#[utoipa::path(post, path = "/v1/jobs/{id}/pause", operation_id = "pause_job", tag = "jobs",
    params(("id" = String, Path)),
    responses(
        (status = 200, body = JobOut),
        (status = 404, body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub(crate) async fn pause(
    State(app): State<App>,
    caller: Caller,
    Own(id): Own<JobId>,
) -> Result<Json<JobOut>, Problem> {
    caller.require(Scope::Submit)?;
    match app.queue.pause(id).await? {
        Pausing::Done => Ok(Json(JobOut::find(&app, id).await?)),
        Pausing::HasEnded(status) => Err(has_ended(id, status, "pause")),
        Pausing::NoSuchJob => Err(not_found::<JobId>(id)),
    }
}

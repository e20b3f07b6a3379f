//! `DELETE /v1/jobs/{id}`

use axum::extract::State;
use axum::http::StatusCode;

use crate::access::{Caller, Scope};
use crate::http::App;
use crate::http::answer::problem::{Code, Problem, ProblemDocument};
use crate::http::request::id::{Own, not_found};
use crate::id::JobId;
use crate::queue::{Deletion, Reason};

/// Delete a job that has ended, with its events and artifacts.
#[utoipa::path(delete, path = "/v1/jobs/{id}", operation_id = "delete_job", tag = "jobs",
    params(("id" = String, Path)),
    responses(
        (status = 204, description = "It is gone"),
        (status = 404, body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub(crate) async fn delete(State(app): State<App>, caller: Caller, Own(id): Own<JobId>) -> Result<StatusCode, Problem> {
    caller.require(Scope::Submit)?;
    match app.queue.delete(id, Reason::Asked).await? {
        Deletion::Deleted => Ok(app.free_blobs().await),
        Deletion::NotEnded(status) => {
            let detail = format!("Job `{id}` is {}: only a job that has ended can be deleted.", status.as_str());
            Err(Problem::new(Code::JobNotEnded, detail).hint(format!("End it with POST /v1/jobs/{id}/cancel.")))
        }
        Deletion::NoSuchJob => Err(not_found::<JobId>(id)),
    }
}

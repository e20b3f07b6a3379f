//! `DELETE /v1/datasets/{id}`

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;

use crate::access::{Caller, Scope};
use crate::http::App;
use crate::http::answer::problem::{Code, Problem, ProblemDocument};
use crate::http::request::id::{Own, not_found};
use crate::id::DatasetId;
use crate::upload::UploadDeletion;

/// Delete a data set. Jobs that have ended keep their results; one that is queued or running keeps what it needs.
#[utoipa::path(delete, path = "/v1/datasets/{id}", operation_id = "delete_dataset", tag = "datasets",
    params(("id" = String, Path)),
    responses(
        (status = 204, description = "It is gone"),
        (status = 404, body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, body = ProblemDocument, content_type = "application/problem+json",
         description = "Jobs need it; the member `jobs` names them"),
    ))]
pub(crate) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Own(id): Own<DatasetId>,
) -> Result<StatusCode, Problem> {
    caller.require(Scope::Submit)?;
    match app.uploads.delete_dataset(id, Duration::ZERO).await? {
        UploadDeletion::Deleted => Ok(app.free_blobs().await),
        UploadDeletion::NeededBy(jobs) => Err(Problem::needed(Code::DatasetInUse, &format!("Data set `{id}`"), &jobs)),
        UploadDeletion::NoSuchUpload => Err(not_found::<DatasetId>(id)),
    }
}

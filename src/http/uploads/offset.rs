//! `HEAD /v1/uploads/{id}`

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::{check_version, find, standing};
use crate::access::Caller;
use crate::http::App;
use crate::http::answer::problem::Problem;

/// How many bytes of an upload have come, in headers.
#[utoipa::path(head, path = "/v1/uploads/{id}", operation_id = "upload_offset", tag = "uploads",
    params(("id" = String, Path), ("tus-resumable" = String, Header, example = "1.0.0")),
    responses(
        (status = 200, headers(("upload-offset" = u64), ("upload-length" = u64), ("upload-expires" = String))),
        (status = 404, description = "There is no such upload"),
    ))]
pub(crate) async fn offset(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    check_version(&headers)?;
    let (record, received) = find(&app, &caller, &id).await?;
    Ok((StatusCode::OK, standing(&app, &record, received, record.end.as_ref()).await?).into_response())
}

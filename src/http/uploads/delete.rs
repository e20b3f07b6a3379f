//! `DELETE /v1/uploads/{id}`

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{AppendHeaders, IntoResponse, Response};

use super::{check_version, find, headers};
use crate::access::{Caller, Scope};
use crate::http::App;
use crate::http::answer::problem::{Code, Problem, ProblemDocument};

/// Forget a resumable upload. The model or data set that it became stays.
#[utoipa::path(delete, path = "/v1/uploads/{id}", operation_id = "delete_upload", tag = "uploads",
    params(("id" = String, Path), ("tus-resumable" = String, Header, example = "1.0.0")),
    responses(
        (status = 204, description = "It is gone"),
        (status = 404, body = ProblemDocument, content_type = "application/problem+json"),
        (status = 423, body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub(crate) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.require(Scope::Submit)?;
    check_version(&headers)?;
    let (record, _) = find(&app, &caller, &id).await?;
    let Some(_writing) = app.resumable.write_to(record.id) else {
        return Err(Problem::new(Code::UploadLocked, format!("A request adds to upload `{}`.", record.id)));
    };
    app.resumable.delete(record.id).await.map_err(Problem::internal)?;
    let version = AppendHeaders([(headers::TUS_RESUMABLE, headers::VERSION)]);
    Ok((StatusCode::NO_CONTENT, version).into_response())
}

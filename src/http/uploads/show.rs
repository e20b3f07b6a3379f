//! `GET /v1/uploads/{id}`

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::find;
use crate::access::Caller;
use crate::http::App;
use crate::http::answer::problem::{Problem, ProblemDocument};
use crate::id::UploadId;
use crate::upload::resumable::{End, Kind};

/// A resumable upload.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Upload)]
pub(crate) struct UploadOut {
    #[schema(value_type = String)]
    id: UploadId,
    kind: Kind,
    name: Option<String>,
    /// Bytes of the whole file.
    length: u64,
    /// Bytes that have come.
    received: u64,
    /// What it became, once it is whole.
    end: Option<End>,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    /// When it goes unless something is added to it.
    #[serde(with = "time::serde::rfc3339")]
    expires_at: OffsetDateTime,
}

/// A resumable upload: how far it is, and what it became.
#[utoipa::path(get, path = "/v1/uploads/{id}", operation_id = "show_upload", tag = "uploads",
    params(("id" = String, Path)),
    responses(
        (status = 200, body = UploadOut),
        (status = 404, body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<UploadOut>, Problem> {
    let (record, received) = find(&app, &caller, &id).await?;
    let expires_at = app.resumable.expires_at(record.id).await.map_err(Problem::internal)?;
    Ok(Json(UploadOut {
        id: record.id,
        kind: record.kind,
        name: record.name,
        length: record.length,
        received,
        end: record.end,
        created_at: record.created_at,
        expires_at: expires_at.into(),
    }))
}

//! `GET /v1/jobs/{id}/artifacts`

use axum::Json;
use axum::extract::State;

use super::{ArtifactList, ArtifactOut, find_all};
use crate::http::App;
use crate::http::answer::problem::{Problem, ProblemDocument};
use crate::http::request::id::Own;
use crate::id::JobId;

/// The files that a job has made so far. `model.pt` is there once the job has succeeded.
#[utoipa::path(get, path = "/v1/jobs/{id}/artifacts", operation_id = "list_artifacts", tag = "jobs",
    params(("id" = String, Path)),
    responses(
        (status = 200, body = ArtifactList),
        (status = 404, body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub(crate) async fn list(State(app): State<App>, Own(id): Own<JobId>) -> Result<Json<ArtifactList>, Problem> {
    let artifacts = find_all(&app, id).await?;
    let items = artifacts
        .into_iter()
        .map(|artifact| ArtifactOut {
            url: format!("/v1/jobs/{id}/artifacts/{}", artifact.name),
            name: artifact.name,
            bytes: artifact.bytes,
            sha256: artifact.sha256.to_string(),
            content_type: artifact.content_type,
        })
        .collect();
    Ok(Json(ArtifactList { items }))
}

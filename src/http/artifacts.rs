//! `/v1/jobs/{id}/artifacts`: what a job made, to list and to download.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::response::Builder;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use super::App;
use super::problem::{Code, Problem, ProblemDocument};
use super::range::{Wanted, wanted};
use super::request::{ArtifactPath, Own, not_found};
use crate::artifact::{self, Content, PublicArtifact};
use crate::id::JobId;
use crate::table::job;

/// A file that a job made.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Artifact)]
pub struct ArtifactOut {
    /// `model.pt`, `report.json`, `config.json`, `graph.json` or `log.txt`.
    name: &'static str,
    bytes: u64,
    /// Hexadecimal.
    sha256: String,
    content_type: &'static str,
    /// Where to download it.
    url: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ArtifactList {
    items: Vec<ArtifactOut>,
}

/// The files that a job has made so far. `model.pt` is there once the job has succeeded.
#[utoipa::path(get, path = "/v1/jobs/{id}/artifacts", tag = "jobs",
    params(("id" = String, Path)),
    responses(
        (status = 200, body = ArtifactList),
        (status = 404, body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub async fn list(State(app): State<App>, Own(id): Own<JobId>) -> Result<Json<ArtifactList>, Problem> {
    let artifacts = find_all(&app, id).await?;
    let items = artifacts
        .into_iter()
        .map(|artifact| ArtifactOut {
            name: artifact.name,
            bytes: artifact.bytes,
            sha256: artifact.sha256.to_string(),
            content_type: artifact.content_type,
            url: format!("/v1/jobs/{id}/artifacts/{}", artifact.name),
        })
        .collect();
    Ok(Json(ArtifactList { items }))
}

/// A file that a job made; whole, in part, or not at all when the client has it.
#[utoipa::path(get, path = "/v1/jobs/{id}/artifacts/{name}", tag = "jobs",
    params(
        ("id" = String, Path),
        ("name" = String, Path, example = "model.pt"),
        ("range" = Option<String>, Header),
        ("if-none-match" = Option<String>, Header),
    ),
    responses(
        (status = 200, body = Vec<u8>, content_type = "application/octet-stream", headers(("etag" = String))),
        (status = 206, description = "The range that was asked for"),
        (status = 304, description = "The client's copy is the same"),
        (status = 404, body = ProblemDocument, content_type = "application/problem+json"),
        (status = 416, body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub async fn download(
    State(app): State<App>,
    Own(id): Own<JobId>,
    ArtifactPath(name): ArtifactPath,
    headers: HeaderMap,
) -> Result<Response<Body>, Problem> {
    let artifacts = find_all(&app, id).await?;
    let artifact = artifacts.into_iter().find(|artifact| artifact.name == name).ok_or_else(|| {
        Problem::new(Code::ArtifactNotFound, format!("Job `{id}` has no artifact `{name}`."))
            .hint(format!("GET /v1/jobs/{id}/artifacts lists what there is."))
    })?;
    let etag = format!("\"{}\"", artifact.sha256);
    let length = artifact.bytes;
    let response = describe(&artifact, &etag);
    let (response, range) = match wanted(&headers, &etag, length) {
        Wanted::NotModified => return Ok(finish(response.status(StatusCode::NOT_MODIFIED), Body::empty())),
        Wanted::Nothing => {
            let content_range = HeaderValue::from_str(&format!("bytes */{length}")).expect("digits are a header");
            return Err(Problem::new(Code::RangeNotSatisfiable, format!("The file has {length} bytes."))
                .header(header::CONTENT_RANGE, content_range));
        }
        Wanted::Whole => (response.status(StatusCode::OK), 0..length),
        Wanted::Part(range) => {
            let content_range = format!("bytes {}-{}/{length}", range.start, range.end - 1);
            (response.status(StatusCode::PARTIAL_CONTENT).header(header::CONTENT_RANGE, content_range), range)
        }
    };
    let response = response.header(header::CONTENT_LENGTH, range.end - range.start);
    let body = match artifact.content {
        Content::Text(text) => Body::from(text.as_bytes()[range.start as usize..range.end as usize].to_vec()),
        // A store need not take an empty range.
        Content::Blob(_) if range.is_empty() => Body::empty(),
        Content::Blob(key) => Body::from_stream(app.blobs.read(&key, Some(range)).await?),
    };
    Ok(finish(response, body))
}

fn describe(artifact: &PublicArtifact, etag: &str) -> Builder {
    Response::builder()
        .header(header::ETAG, etag)
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::CACHE_CONTROL, "private, no-cache")
        .header(header::CONTENT_TYPE, artifact.content_type)
        .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
        .header(header::CONTENT_DISPOSITION, format!("attachment; filename=\"{}\"", artifact.name))
}

fn finish(response: Builder, body: Body) -> Response<Body> {
    response.body(body).expect("every header is ASCII")
}

async fn find_all(app: &App, id: JobId) -> Result<Vec<PublicArtifact>, Problem> {
    let pool = app.queue.database().pool();
    let job = job::find(pool, id).await?.ok_or_else(|| not_found::<JobId>(id))?;
    Ok(artifact::of_job(pool, &job).await?)
}

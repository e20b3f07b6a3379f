//! `GET /v1/jobs/{id}/artifacts/{name}`

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use axum::response::{IntoResponse, Redirect};

use super::{describe, find_all, finish};
use crate::artifact::Content;
use crate::http::App;
use crate::http::answer::problem::{Code, Problem, ProblemDocument};
use crate::http::answer::range::{Wanted, wanted};
use crate::http::request::id::Own;
use crate::http::request::multipart::FileBytes;
use crate::http::request::parameters::{ArtifactPath, Parameters};
use crate::id::JobId;

/// How long a URL of the bucket is good; a download that has begun goes on.
const PRESIGNED_FOR: Duration = Duration::from_mins(10);

/// A file that a job made; whole, in part, or not at all when the client has it.
#[utoipa::path(get, path = "/v1/jobs/{id}/artifacts/{name}", operation_id = "download_artifact", tag = "jobs",
    params(
        ("id" = String, Path),
        ("name" = String, Path, example = "model.pt"),
        ("presigned" = Option<bool>, Query,
         description = "`true` redirects to the bucket where blobs are in S3: its URL is good for ten minutes, for whoever has it. \
                        What is not there comes from here"),
        ("range" = Option<String>, Header),
        ("if-none-match" = Option<String>, Header),
    ),
    responses(
        (status = 200, headers(("etag" = String)), content(
            (FileBytes = "application/octet-stream"), (serde_json::Value = "application/json"), (String = "text/plain"), (String = "text/html"),
        )),
        (status = 206, description = "The range that was asked for", headers(("etag" = String), ("content-range" = String)), content(
            (FileBytes = "application/octet-stream"), (serde_json::Value = "application/json"), (String = "text/plain"), (String = "text/html"),
        )),
        (status = 307, description = "To the bucket, where a presigned URL was asked for", headers(("location" = String))),
        (status = 304, description = "The client's copy is the same"),
        (status = 404, body = ProblemDocument, content_type = "application/problem+json"),
        (status = 416, body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub(crate) async fn download(
    State(app): State<App>,
    Own(id): Own<JobId>,
    ArtifactPath(name): ArtifactPath,
    parameters: Parameters,
    headers: HeaderMap,
) -> Result<Response<Body>, Problem> {
    let presigned = parameters.get("presigned", |text| text.parse().ok(), "`true` or `false`")?.unwrap_or(false);
    let artifacts = find_all(&app, id).await?;
    let artifact = artifacts.into_iter().find(|artifact| artifact.name == name).ok_or_else(|| {
        Problem::new(Code::ArtifactNotFound, format!("Job `{id}` has no artifact `{name}`."))
            .hint(format!("See GET /v1/jobs/{id}/artifacts for what there is."))
    })?;
    if presigned
        && let Content::Blob(key) = &artifact.content
        && let Some(url) = app.blobs.presign_get(key, &artifact.name, PRESIGNED_FOR).await?
    {
        return Ok(Redirect::temporary(&url).into_response());
    }
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
        // A damaged file comes without its end, and the client sees that it broke off.
        Content::Blob(key) if range == (0..length) => {
            Body::from_stream(app.blobs.read_verified(&key, artifact.sha256).await?)
        }
        Content::Blob(key) => Body::from_stream(app.blobs.read(&key, Some(range)).await?),
    };
    Ok(finish(response, body))
}

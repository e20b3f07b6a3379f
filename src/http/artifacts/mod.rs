//! `/v1/jobs/{id}/artifacts`: what a job made, to list and to download.

pub(super) mod download;
pub(super) mod list;

use std::borrow::Cow;

use axum::body::Body;
use axum::http::response::Builder;
use axum::http::{HeaderName, Response, header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::artifact::{self, PAGE, PublicArtifact};
use crate::http::App;
use crate::http::answer::problem::Problem;
use crate::http::request::id::not_found;
use crate::id::JobId;
use crate::report_page::CONTENT_SECURITY_POLICY;
use crate::table::job;

/// The digest of the whole file (RFC 9530), also with a part of it.
const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");

/// A file that a job made.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Artifact)]
pub(super) struct ArtifactOut {
    /// `model.pt`, `report.json`, `report.html`, `config.json`, `graph.json`, `log.txt`, with a judge `finalist-N.pt`, or with `triton` in the
    /// spec `triton.zip`.
    #[schema(value_type = String)]
    name: Cow<'static, str>,
    bytes: u64,
    /// Hexadecimal.
    sha256: String,
    content_type: &'static str,
    /// Where to download it.
    url: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ArtifactList {
    items: Vec<ArtifactOut>,
}

fn describe(artifact: &PublicArtifact, etag: &str) -> Builder {
    let response = match artifact.content_type {
        // A page is there to be looked at; it is of no origin and may load and run nothing.
        PAGE => Response::builder()
            .header(
                header::CONTENT_SECURITY_POLICY,
                format!("{CONTENT_SECURITY_POLICY}; frame-ancestors 'none'; sandbox"),
            )
            .header(header::CONTENT_DISPOSITION, format!("inline; filename=\"{}\"", artifact.name)),
        _ => Response::builder()
            .header(header::CONTENT_DISPOSITION, format!("attachment; filename=\"{}\"", artifact.name)),
    };
    response
        .header(header::ETAG, etag)
        .header(REPR_DIGEST, format!("sha-256=:{}:", artifact.sha256.to_base64()))
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::CACHE_CONTROL, "private, no-cache")
        .header(header::CONTENT_TYPE, artifact.content_type)
        .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
}

fn finish(response: Builder, body: Body) -> Response<Body> {
    response.body(body).expect("every header is ASCII")
}

async fn find_all(app: &App, id: JobId) -> Result<Vec<PublicArtifact>, Problem> {
    let pool = app.database.pool();
    let job = job::find(pool, id).await?.ok_or_else(|| not_found::<JobId>(id))?;
    Ok(artifact::of_job(pool, &job).await?)
}

//! `/v1/uploads`: resumable uploads by the tus protocol, version 1.0.0 (<https://tus.io/protocols/resumable-upload>), with its extensions
//! creation, creation-with-upload, expiration, termination and checksum.
//!
//! A POST announces length and kind, PATCH requests bring the bytes, HEAD says how many have come. The PATCH that brings the last one has
//! the file checked and answers as the upload in one piece would; GET, which tus does not have, says what it became.

pub(super) mod append;
pub(super) mod create;
pub(super) mod delete;
mod headers;
pub(super) mod offset;
pub(super) mod options;
pub(super) mod presigned;
pub(super) mod show;

use std::io;

use axum::http::HeaderMap;
use axum::http::header::{CACHE_CONTROL, HeaderName, LOCATION};
use axum::response::{AppendHeaders, IntoResponse};
use secateur_core::spec::InspectionSpec;

use super::App;
use super::answer::problem::{Code, Problem};
use super::answer::quote::{LONGEST_VALUE, cut};
use super::models;
use crate::access::Caller;
use crate::blob::StagingError;
use crate::id::UploadId;
use crate::upload::UploadError;
use crate::upload::resumable::{End, Kind, Record};

/// The upload of a path, which is one of the caller's tenant.
async fn find(app: &App, caller: &Caller, id: &str) -> Result<(Record, u64), Problem> {
    let missing = || Problem::new(Code::UploadNotFound, format!("There is no upload `{}`.", cut(id, LONGEST_VALUE)));
    let id: UploadId = id.parse().map_err(|_| missing())?;
    let found = app.resumable.find(id, &caller.tenant).await.map_err(Problem::internal)?;
    found.ok_or_else(missing)
}

/// Has a file checked that is whole, as an upload in one piece is, and writes down what it became.
async fn accept(app: &App, caller: &Caller, record: Record) -> Result<End, Problem> {
    let staged = app.resumable.stage(record.id).await.map_err(Problem::internal)?;
    let name = record.name.as_deref();
    let accepted = match record.kind {
        Kind::Model => app.uploads.accept_model(caller, staged, name).await.map(|model| {
            let end = End::Model { model_id: model.id };
            (end, Some(model))
        }),
        Kind::Dataset => {
            let dataset = app.uploads.accept_dataset(caller, staged, name).await;
            dataset.map(|dataset| (End::Dataset { dataset_id: dataset.id }, None))
        }
    };
    let end = match accepted {
        Ok((end, model)) => {
            if let Some(model) = model {
                let shape = record.input_shape.as_deref().and_then(models::parse_shapes);
                app.queue.inspect(&caller.tenant, &model, InspectionSpec::new(shape, None)?).await?;
            }
            end
        }
        // Only this is for good: after anything else an empty piece has it checked again.
        Err(UploadError::Rejected(rejection)) => {
            let end = End::Refused { code: rejection.code.as_str().to_owned(), detail: rejection.detail.clone() };
            app.resumable.end(record, end).await.map_err(Problem::internal)?;
            return Err(rejection.into());
        }
        Err(error) => return Err(error.into()),
    };
    app.resumable.end(record, end.clone()).await.map_err(Problem::internal)?;
    Ok(end)
}

/// How far an upload is, in the headers of an answer.
async fn standing(app: &App, record: &Record, received: u64, end: Option<&End>) -> Result<impl IntoResponse, Problem> {
    let expires = app.resumable.expires_at(record.id).await.map_err(Problem::internal)?;
    let place = match end {
        Some(End::Model { model_id }) => Some((LOCATION, format!("/v1/models/{model_id}"))),
        Some(End::Dataset { dataset_id }) => Some((LOCATION, format!("/v1/datasets/{dataset_id}"))),
        Some(End::Refused { .. }) | None => None,
    };
    let headers: Vec<(HeaderName, String)> = [
        (headers::TUS_RESUMABLE, headers::VERSION.to_owned()),
        (headers::UPLOAD_OFFSET, received.to_string()),
        (headers::UPLOAD_LENGTH, record.length.to_string()),
        (headers::UPLOAD_EXPIRES, httpdate::fmt_http_date(expires)),
        (CACHE_CONTROL, "no-store".to_owned()),
    ]
    .into_iter()
    .chain(place)
    .collect();
    Ok(AppendHeaders(headers))
}

/// Refuses a client that speaks another version, or none.
fn check_version(headers: &HeaderMap) -> Result<(), Problem> {
    let spoken = headers.get(headers::TUS_RESUMABLE).and_then(|version| version.to_str().ok());
    if spoken == Some(headers::VERSION) {
        return Ok(());
    }
    let said =
        spoken.map_or_else(|| "is missing".to_owned(), |version| format!("is `{}`", cut(version, LONGEST_VALUE)));
    let detail = format!("`Tus-Resumable` {said}: it must be {}.", headers::VERSION);
    let version = axum::http::HeaderValue::from_static(headers::VERSION);
    Err(Problem::new(Code::TusVersionUnsupported, detail).header(headers::TUS_VERSION, version))
}

fn refuse(error: StagingError<io::Error>) -> Problem {
    super::request::multipart::refuse(error, Problem::internal)
}

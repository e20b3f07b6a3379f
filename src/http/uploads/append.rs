//! `PATCH /v1/uploads/{id}`

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures::StreamExt;

use super::{accept, check_version, find, headers, standing};
use crate::access::{Caller, Scope};
use crate::http::App;
use crate::http::answer::problem::{Code, Problem, ProblemDocument};
use crate::http::request::multipart::{self, FileBytes, media_type, unsupported};
use crate::upload::resumable::{AppendError, End, Record};

/// Add a piece behind the bytes that have come. The last one has the file checked: `Location` is the model or data set that it became.
#[utoipa::path(patch, path = "/v1/uploads/{id}", operation_id = "append_to_upload", tag = "uploads",
    params(
        ("id" = String, Path),
        ("tus-resumable" = String, Header, example = "1.0.0"),
        ("upload-offset" = u64, Header, description = "The bytes that have come before this piece"),
        ("upload-checksum" = Option<String>, Header, description = "`sha1` or `sha256`, a space and the digest of the body in base64"),
    ),
    request_body(content = FileBytes, content_type = "application/offset+octet-stream"),
    responses(
        (status = 204, headers(("upload-offset" = u64), ("upload-expires" = String), ("location" = Option<String>))),
        (status = 409, description = "So many bytes have not come, or more", body = ProblemDocument,
         content_type = "application/problem+json"),
        (status = 423, description = "Another request adds to it", body = ProblemDocument,
         content_type = "application/problem+json"),
        (status = 460, description = "The piece does not have its digest, and was dropped", body = ProblemDocument,
         content_type = "application/problem+json"),
        (status = "4XX", body = ProblemDocument, content_type = "application/problem+json"),
        (status = "5XX", body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub(crate) async fn append(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    caller.require(Scope::Submit)?;
    check_version(request.headers())?;
    let (record, _) = find(&app, &caller, &id).await?;
    let media_type = media_type(request.headers());
    if media_type != headers::PIECE {
        return Err(unsupported(&media_type, &format!("`{}`", headers::PIECE)));
    }
    let offset = headers::number(request.headers(), headers::UPLOAD_OFFSET)?;
    let (received, end) = add(&app, &caller, record.clone(), offset, request).await?;
    Ok((StatusCode::NO_CONTENT, standing(&app, &record, received, end.as_ref()).await?).into_response())
}

/// Adds the body of a request at `offset`; with the last byte the file is accepted.
pub(super) async fn add(
    app: &App,
    caller: &Caller,
    record: Record,
    offset: u64,
    request: Request,
) -> Result<(u64, Option<End>), Problem> {
    let checksum = headers::checksum(request.headers())?;
    let Some(writing) = app.resumable.write_to(record.id) else {
        let detail = format!("Another request adds to upload `{}`: one at a time.", record.id);
        return Err(Problem::new(Code::UploadLocked, detail).hint("Ask with HEAD how far it is, and try again."));
    };
    // Read under the lock: another request may just have ended.
    let (record, received) = find(app, caller, &record.id.to_string()).await?;
    if offset != received {
        let detail = format!("`Upload-Offset` is {offset}, and {received} bytes have come.");
        return Err(Problem::new(Code::OffsetMismatch, detail).header(headers::UPLOAD_OFFSET, received.into()));
    }
    if record.end.is_some() {
        let end = record.end.clone();
        return Ok((received, end));
    }
    let piece = request.into_body().into_data_stream().boxed();
    let received = app.resumable.append(&writing, &record, checksum, piece).await.map_err(refuse)?;
    let end = match received == record.length {
        true => Some(accept(app, caller, record).await?),
        false => None,
    };
    Ok((received, end))
}

fn refuse(error: AppendError<axum::Error>) -> Problem {
    match error {
        AppendError::TooLong { length } => {
            let detail = format!("More has come than the {length} bytes that were announced; the piece was dropped.");
            Problem::new(Code::PayloadTooLarge, detail)
        }
        AppendError::Checksum => {
            let detail = "The piece does not have the digest that `Upload-Checksum` says, and was dropped.";
            Problem::new(Code::ChecksumMismatch, detail).hint("Send it again.")
        }
        AppendError::Staging(error) => multipart::refuse(error, |error| Problem::broken_body(&error)),
    }
}

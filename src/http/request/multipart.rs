//! Uploads out of a request: a raw body, or the parts of a multipart form in any order.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::BoxError;
use axum::body::Body;
use axum::extract::multipart::{Field, Multipart, MultipartError};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, HeaderName, header};
use futures::StreamExt;
use utoipa::ToSchema;

use super::body::LONGEST_JSON;
use super::parameters::header_text;
use crate::blob::{Staged, Staging, StagingError};
use crate::digest::Sha256;
use crate::http::answer::problem::{Code, Problem};
use crate::http::answer::quote::{LONGEST_VALUE, cut};
use crate::http::connection::body::BodyError;

const LONGEST_NAME: usize = 255;
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");

/// The bytes of a file, as the API's description has them.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[allow(dead_code, reason = "only described")]
pub(crate) struct FileBytes(Vec<u8>);

/// A form with one file.
#[derive(ToSchema)]
pub(crate) struct FileForm {
    #[allow(dead_code, reason = "only described")]
    file: FileBytes,
}

/// The media type of a body, without its parameters.
pub(crate) fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// An uploaded file and what the client calls it.
#[derive(Debug)]
pub(crate) struct NamedUpload {
    pub staged: Staged,
    pub name: Option<String>,
}

/// One file: part `file` of a form, or the whole body, called `?name=`.
pub(crate) async fn receive_file(
    staging: &Staging,
    name: Option<&str>,
    request: Request,
) -> Result<NamedUpload, Problem> {
    refuse_too_long(staging, request.headers(), 1)?;
    match media_type(request.headers()).as_str() {
        "multipart/form-data" => {
            let mut form = Form::open(request).await?;
            let mut file = None;
            while let Some(field) = form.next(&["file"]).await? {
                file = Some(receive_field(staging, field).await?);
            }
            let mut file = file.ok_or_else(|| missing_part("file", "the file to upload"))?;
            file.name = clean_name(name)?.or(file.name);
            Ok(file)
        }
        "application/octet-stream" => {
            let announced = content_length(request.headers());
            let digest = content_digest(request.headers())?;
            let staged = receive_body(staging, announced, request.into_body()).await?;
            check_digest(digest, &staged)?;
            Ok(NamedUpload { staged, name: clean_name(name)? })
        }
        other => Err(unsupported(other, "`application/octet-stream` or `multipart/form-data`")),
    }
}

/// What may come before a part's content: its boundary and headers. The parser keeps them in memory until they are whole.
const LONGEST_PART_HEAD: u64 = 16 << 10;
const READING_CONTENT: u64 = u64::MAX;

/// A multipart form that is read part by part.
pub(crate) struct Form {
    parts: Multipart,
    seen: Vec<String>,
    /// Bytes that came since the next part has been looked for, or [`READING_CONTENT`].
    head: Arc<AtomicU64>,
}

/// The head of a part is too long.
#[derive(Debug, thiserror::Error)]
#[error("the headers of a part are longer than {LONGEST_PART_HEAD} bytes")]
struct PartHeadTooLong;

impl Form {
    pub(crate) async fn open(request: Request) -> Result<Self, Problem> {
        let head = Arc::new(AtomicU64::new(0));
        let counted = head.clone();
        let request = request.map(|body| {
            Body::from_stream(body.into_data_stream().map(move |piece| {
                let piece = piece.map_err(BoxError::from)?;
                // The piece that brings a head's end may be long: what else is in it is content.
                let before = counted.load(Ordering::Relaxed);
                if (LONGEST_PART_HEAD..READING_CONTENT).contains(&before) {
                    return Err(BoxError::from(PartHeadTooLong));
                }
                counted.store(before.saturating_add(piece.len() as u64), Ordering::Relaxed);
                Ok(piece)
            }))
        });
        let parts = Multipart::from_request(request, &())
            .await
            .map_err(|error| Problem::new(Code::InvalidMultipart, error.body_text()))?;
        Ok(Self { parts, seen: Vec::new(), head })
    }

    /// The next part; its name must be one of `allowed`, and not have been there before.
    pub(crate) async fn next(&mut self, allowed: &[&str]) -> Result<Option<Field<'_>>, Problem> {
        self.head.store(0, Ordering::Relaxed);
        let Some(field) = self.parts.next_field().await.map_err(malformed)? else { return Ok(None) };
        self.head.store(READING_CONTENT, Ordering::Relaxed);
        let name = field.name().unwrap_or_default().to_owned();
        if !allowed.contains(&name.as_str()) {
            let allowed = allowed.join("`, `");
            let name = cut(&name, LONGEST_VALUE);
            let detail = format!("There is no part `{name}`: `{allowed}` can be given.");
            return Err(Problem::new(Code::InvalidMultipart, detail));
        }
        if self.seen.contains(&name) {
            return Err(Problem::new(
                Code::InvalidMultipart,
                format!("The part `{name}` is there twice: a form has each part once."),
            ));
        }
        self.seen.push(name);
        Ok(Some(field))
    }
}

pub(crate) async fn receive_field(staging: &Staging, field: Field<'_>) -> Result<NamedUpload, Problem> {
    let name = clean_name(field.file_name())?;
    let digest = content_digest(field.headers())?;
    let staged = staging.receive(None, field).await.map_err(|error| refuse(error, malformed))?;
    check_digest(digest, &staged)?;
    Ok(NamedUpload { staged, name })
}

/// A small part as text.
pub(crate) async fn read_text_field(mut field: Field<'_>) -> Result<String, Problem> {
    let mut bytes = Vec::new();
    while let Some(piece) = field.chunk().await.map_err(malformed)? {
        if bytes.len() + piece.len() > LONGEST_JSON {
            return Err(Problem::payload_too_large(LONGEST_JSON as u64));
        }
        bytes.extend_from_slice(&piece);
    }
    String::from_utf8(bytes).map_err(|_| Problem::new(Code::InvalidMultipart, "A text part is not UTF-8."))
}

pub(crate) fn missing_part(name: &str, what: &str) -> Problem {
    Problem::new(Code::MissingPart, format!("Part `{name}` is missing: {what}."))
}

pub(crate) fn unsupported(media_type: &str, allowed: &str) -> Problem {
    let detail = match media_type {
        "" => format!("`Content-Type` is missing: {allowed} is needed."),
        other => format!("`Content-Type` is `{}`: {allowed} is needed.", cut(other, LONGEST_VALUE)),
    };
    Problem::new(Code::UnsupportedMediaType, detail)
}

/// A body that is longer than this many files and a spec may be is refused before it is read.
pub(crate) fn refuse_too_long(staging: &Staging, headers: &HeaderMap, files: u64) -> Result<(), Problem> {
    let longest = staging.max_bytes().saturating_mul(files).saturating_add(LONGEST_JSON as u64);
    match content_length(headers) {
        Some(length) if length > longest => Err(Problem::payload_too_large(staging.max_bytes())),
        _ => Ok(()),
    }
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// `Content-Digest` (RFC 9530) of a body that is a file, or of a file's part: the SHA-256 among its digests.
fn content_digest(headers: &HeaderMap) -> Result<Option<Sha256>, Problem> {
    let Some(text) = header_text(headers, CONTENT_DIGEST)? else { return Ok(None) };
    let Some(value) = text.split(',').find_map(|digest| digest.trim().strip_prefix("sha-256=")) else {
        // Algorithms that the recipient does not know are to be passed over.
        return Ok(None);
    };
    let value = value.strip_prefix(':').and_then(|value| value.strip_suffix(':'));
    let allowed = "`sha-256=:`, the digest in base64 and `:`";
    let digest = value.and_then(Sha256::from_base64);
    digest.map(Some).ok_or_else(|| Problem::invalid_parameter(CONTENT_DIGEST.as_str(), text, allowed))
}

fn check_digest(announced: Option<Sha256>, staged: &Staged) -> Result<(), Problem> {
    match announced {
        Some(announced) if announced != staged.sha256 => {
            let detail = format!("The file has the SHA-256 {}, and `Content-Digest` says {announced}.", staged.sha256);
            Err(Problem::new(Code::DigestMismatch, detail).hint("It was damaged on its way: send it again."))
        }
        _ => Ok(()),
    }
}

async fn receive_body(staging: &Staging, announced: Option<u64>, body: Body) -> Result<Staged, Problem> {
    let broken = |error| Problem::broken_body(&error);
    staging.receive(announced, body.into_data_stream().boxed()).await.map_err(|error| refuse(error, broken))
}

pub(crate) fn refuse<E>(error: StagingError<E>, broken: impl FnOnce(E) -> Problem) -> Problem {
    match error {
        StagingError::TooLarge { max_bytes } => Problem::payload_too_large(max_bytes),
        StagingError::Full => Problem::new(Code::StorageFull, "There is no space left for the upload."),
        StagingError::Broken(error) => broken(error),
        StagingError::Io(error) => Problem::internal(error),
    }
}

fn malformed(error: MultipartError) -> Problem {
    if let Some(pace) = BodyError::pace_missed(&error) {
        return Problem::stalled(pace);
    }
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(error) = cause {
        if error.is::<PartHeadTooLong>() {
            return Problem::new(Code::InvalidMultipart, format!("The multipart body is not valid: {error}."));
        }
        cause = error.source();
    }
    Problem::new(Code::InvalidMultipart, format!("The multipart body is not valid: {}.", error.body_text()))
}

/// A name is for people; it must be printable and not too long.
pub(crate) fn clean_name(name: Option<&str>) -> Result<Option<String>, Problem> {
    let Some(name) = name.filter(|name| !name.is_empty()) else { return Ok(None) };
    if name.chars().count() > LONGEST_NAME || name.chars().any(char::is_control) {
        let allowed = format!("at most {LONGEST_NAME} printable characters");
        return Err(Problem::invalid_parameter("name", name, &allowed));
    }
    Ok(Some(name.to_owned()))
}

//! Uploads out of a request: a raw body, or the parts of a multipart form in any order.

use axum::body::Body;
use axum::extract::multipart::{Field, Multipart, MultipartError};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use futures::StreamExt;

use super::problem::{Code, Problem};
use super::request::LONGEST_JSON;
use crate::blob::{Staged, Staging, StagingError};

const LONGEST_NAME: usize = 255;

/// The media type of a body, without its parameters.
pub fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// An uploaded file and what the client calls it.
#[derive(Debug)]
pub struct NamedUpload {
    pub staged: Staged,
    pub name: Option<String>,
}

/// One file: part `file` of a form, or the whole body, called `?name=`.
pub async fn receive_file(staging: &Staging, name: Option<&str>, request: Request) -> Result<NamedUpload, Problem> {
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
            let staged = receive_body(staging, announced, request.into_body()).await?;
            Ok(NamedUpload { staged, name: clean_name(name)? })
        }
        other => Err(unsupported(other, "`application/octet-stream` or `multipart/form-data`")),
    }
}

/// A multipart form that is read part by part.
pub struct Form {
    parts: Multipart,
    seen: Vec<String>,
}

impl Form {
    pub async fn open(request: Request) -> Result<Self, Problem> {
        let parts = Multipart::from_request(request, &())
            .await
            .map_err(|error| Problem::new(Code::InvalidMultipart, error.body_text()))?;
        Ok(Self { parts, seen: Vec::new() })
    }

    /// The next part; its name must be one of `allowed`, and not have been there before.
    pub async fn next(&mut self, allowed: &[&str]) -> Result<Option<Field<'_>>, Problem> {
        let Some(field) = self.parts.next_field().await.map_err(malformed)? else { return Ok(None) };
        let name = field.name().unwrap_or_default().to_owned();
        if !allowed.contains(&name.as_str()) {
            let allowed = allowed.join("`, `");
            let detail = format!("There is no part `{name}`: `{allowed}` can be given.");
            return Err(Problem::new(Code::InvalidMultipart, detail));
        }
        if self.seen.contains(&name) {
            return Err(Problem::new(Code::InvalidMultipart, format!("Part `{name}` is there twice.")));
        }
        self.seen.push(name);
        Ok(Some(field))
    }
}

pub async fn receive_field(staging: &Staging, field: Field<'_>) -> Result<NamedUpload, Problem> {
    let name = clean_name(field.file_name())?;
    let staged = staging.receive(None, field).await.map_err(|error| refuse(error, malformed))?;
    Ok(NamedUpload { staged, name })
}

/// A small part as text.
pub async fn read_text_field(mut field: Field<'_>) -> Result<String, Problem> {
    let mut bytes = Vec::new();
    while let Some(piece) = field.chunk().await.map_err(malformed)? {
        if bytes.len() + piece.len() > LONGEST_JSON {
            return Err(Problem::payload_too_large(LONGEST_JSON as u64));
        }
        bytes.extend_from_slice(&piece);
    }
    String::from_utf8(bytes).map_err(|_| Problem::new(Code::InvalidMultipart, "A text part is not UTF-8."))
}

pub fn missing_part(name: &str, what: &str) -> Problem {
    Problem::new(Code::MissingPart, format!("Part `{name}` is missing: {what}."))
}

pub fn unsupported(media_type: &str, allowed: &str) -> Problem {
    let detail = match media_type {
        "" => format!("`Content-Type` is missing: {allowed} is needed."),
        other => format!("`Content-Type` is `{other}`: {allowed} is needed."),
    };
    Problem::new(Code::UnsupportedMediaType, detail)
}

/// A body that is longer than this many files and a spec may be is refused before it is read.
pub fn refuse_too_long(staging: &Staging, headers: &HeaderMap, files: u64) -> Result<(), Problem> {
    let longest = staging.max_bytes().saturating_mul(files).saturating_add(LONGEST_JSON as u64);
    match content_length(headers) {
        Some(length) if length > longest => Err(Problem::payload_too_large(staging.max_bytes())),
        _ => Ok(()),
    }
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

async fn receive_body(staging: &Staging, announced: Option<u64>, body: Body) -> Result<Staged, Problem> {
    let broken = |_| Problem::new(Code::UploadBroken, "The body ended before its time.");
    staging.receive(announced, body.into_data_stream().boxed()).await.map_err(|error| refuse(error, broken))
}

fn refuse<E>(error: StagingError<E>, broken: impl FnOnce(E) -> Problem) -> Problem {
    match error {
        StagingError::TooLarge { max_bytes } => Problem::payload_too_large(max_bytes),
        StagingError::Full => Problem::new(Code::StorageFull, "There is no space left for the upload."),
        StagingError::Stalled => Problem::new(Code::UploadStalled, "The upload stopped coming."),
        StagingError::Broken(error) => broken(error),
        StagingError::Io(error) => Problem::internal(error),
    }
}

fn malformed(error: MultipartError) -> Problem {
    Problem::new(Code::InvalidMultipart, format!("The multipart body is not valid: {}.", error.body_text()))
}

/// A name is for people; it must be printable and not too long.
fn clean_name(name: Option<&str>) -> Result<Option<String>, Problem> {
    let Some(name) = name.filter(|name| !name.is_empty()) else { return Ok(None) };
    if name.chars().count() > LONGEST_NAME || name.chars().any(char::is_control) {
        let allowed = format!("at most {LONGEST_NAME} printable characters");
        return Err(Problem::invalid_parameter("name", name, &allowed));
    }
    Ok(Some(name.to_owned()))
}

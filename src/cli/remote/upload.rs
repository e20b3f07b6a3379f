//! Files to a server, by tus 1.0.0: where a connection breaks the upload goes on from there.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::header::{CONTENT_TYPE, HeaderMap, LOCATION};
use reqwest::{Body, Method, StatusCode};
use serde::Deserialize;
use tokio::io::AsyncSeekExt;
use tokio_util::io::ReaderStream;

use super::client::{Client, is_later, retry_after};
use crate::cli::CliError;

const TUS: (&str, &str) = ("tus-resumable", "1.0.0");
const OFFSET: &str = "upload-offset";

#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Model,
    Dataset,
}

#[derive(Debug, Deserialize)]
struct UploadIn {
    received: u64,
    end: Option<EndIn>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum EndIn {
    Model { model_id: String },
    Dataset { dataset_id: String },
    Refused { code: String, detail: String },
}

/// Uploads a file; the id of the model or data set that it became.
pub(super) async fn upload(client: &Client, kind: Kind, path: &Path) -> Result<String, CliError> {
    let failed = |error: std::io::Error| CliError::new(format!("{}: {error}", path.display()));
    let length = tokio::fs::metadata(path).await.map_err(failed)?.len();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let word = match kind {
        Kind::Model => "model",
        Kind::Dataset => "dataset",
    };
    let metadata = format!("kind {},filename {}", BASE64.encode(word), BASE64.encode(name.as_bytes()));
    let begin = || {
        let request = client.request(Method::POST, "/v1/uploads")?;
        Ok(request.header(TUS.0, TUS.1).header("upload-length", length).header("upload-metadata", &metadata))
    };
    let answer = client.send(begin).await?;
    let place = text(answer.headers(), LOCATION.as_str())
        .ok_or_else(|| CliError::new("the server does not say where the upload is"))?;

    let mut pauses = client.pauses();
    let mut received = 0;
    while received < length {
        let mut file = tokio::fs::File::open(path).await.map_err(failed)?;
        file.seek(std::io::SeekFrom::Start(received)).await.map_err(failed)?;
        let rest = Body::wrap_stream(ReaderStream::with_capacity(file, 1 << 18));
        let request = client.request(Method::PATCH, &place)?.header(TUS.0, TUS.1).header(OFFSET, received);
        let request = request.header(CONTENT_TYPE, "application/offset+octet-stream").body(rest);
        let asked = match request.send().await {
            Ok(answer) if answer.status().is_success() => break,
            // Somebody else added to it, or a piece came whose answer did not: what the server has counts.
            Ok(answer) if is_later(answer.status()) || answer.status() == StatusCode::CONFLICT => retry_after(&answer),
            Ok(answer) => return Err(client.refused(answer).await),
            Err(_) => None,
        };
        if !pauses.wait(asked).await {
            return Err(CliError::new(format!("the upload of {} breaks off after {received} bytes", path.display())));
        }
        let standing: UploadIn = client.get(&place).await?;
        if standing.received > received {
            pauses = client.pauses();
        }
        received = standing.received;
    }
    let standing: UploadIn = client.get(&place).await?;
    match standing.end {
        Some(EndIn::Model { model_id: id } | EndIn::Dataset { dataset_id: id }) => Ok(id),
        Some(EndIn::Refused { code, detail }) => Err(CliError::new(format!("{code}: {detail}"))),
        None => Err(CliError::new(format!("the server has {} of {length} bytes of {name}", standing.received))),
    }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

//! Small bodies: JSON.

use std::time::Duration;

use axum::body::Body;
use futures::StreamExt;
use secateur_core::json;
use secateur_core::spec::LONGEST_TEXT;
use serde::Deserialize;

use crate::http::answer::problem::{Code, Problem};

/// A job spec may be the longest JSON there is; the rest is for the names of what it is to work on.
pub(crate) const LONGEST_JSON: usize = LONGEST_TEXT + (1 << 10);
/// How long JSON may take to arrive, however much of it there is.
const TIME_FOR_JSON: Duration = Duration::from_mins(1);

/// The whole of a small body.
pub(crate) async fn read_body(body: Body) -> Result<Vec<u8>, Problem> {
    let too_long = || {
        let detail = format!("The body took longer than {} seconds to arrive.", TIME_FOR_JSON.as_secs());
        Problem::new(Code::UploadStalled, detail)
    };
    tokio::time::timeout(TIME_FOR_JSON, read_to_end(body)).await.map_err(|_| too_long())?
}

async fn read_to_end(body: Body) -> Result<Vec<u8>, Problem> {
    let mut pieces = body.into_data_stream();
    let mut whole = Vec::new();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| Problem::broken_body(&error))?;
        if whole.len() + piece.len() > LONGEST_JSON {
            return Err(Problem::payload_too_large(LONGEST_JSON as u64));
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole)
}

pub(crate) fn parse_json<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, Problem> {
    let depth = json::depth(text);
    if depth > json::DEEPEST {
        let detail = format!("The JSON is nested {depth} levels deep: at most {} are allowed.", json::DEEPEST);
        return Err(Problem::new(Code::InvalidJson, detail));
    }
    serde_json::from_slice(text)
        .map_err(|error| Problem::new(Code::InvalidJson, format!("The body is not valid JSON: {error}.")))
}

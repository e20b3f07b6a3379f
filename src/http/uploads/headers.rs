//! The headers of tus, and what is in them.

use std::collections::HashMap;

use axum::http::{HeaderMap, HeaderName};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::http::answer::problem::Problem;
use crate::http::request::parameters::header_text;
use crate::upload::resumable::Checksum;

pub(super) const VERSION: &str = "1.0.0";
pub(super) const EXTENSIONS: &str = "creation,creation-with-upload,expiration,termination,checksum";
/// The media type of a piece.
pub(super) const PIECE: &str = "application/offset+octet-stream";

pub(super) const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
pub(super) const TUS_VERSION: HeaderName = HeaderName::from_static("tus-version");
pub(super) const TUS_EXTENSION: HeaderName = HeaderName::from_static("tus-extension");
pub(super) const TUS_MAX_SIZE: HeaderName = HeaderName::from_static("tus-max-size");
pub(super) const TUS_CHECKSUM_ALGORITHM: HeaderName = HeaderName::from_static("tus-checksum-algorithm");
pub(super) const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
pub(super) const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
pub(super) const UPLOAD_EXPIRES: HeaderName = HeaderName::from_static("upload-expires");
const UPLOAD_METADATA: HeaderName = HeaderName::from_static("upload-metadata");
const UPLOAD_CHECKSUM: HeaderName = HeaderName::from_static("upload-checksum");

/// A header that must be there and be a number.
pub(super) fn number(headers: &HeaderMap, name: HeaderName) -> Result<u64, Problem> {
    let allowed = "a whole number of bytes";
    let text = header_text(headers, name.clone())?.unwrap_or_default();
    text.parse().map_err(|_| Problem::invalid_parameter(name.as_str(), text, allowed))
}

/// `Upload-Metadata`: pairs of a name and a value in base64, with commas between.
pub(super) fn metadata(headers: &HeaderMap) -> Result<HashMap<String, String>, Problem> {
    let text = header_text(headers, UPLOAD_METADATA)?.unwrap_or_default();
    let pair = |pair: &str| {
        let (name, value) = pair.trim().split_once(' ').unwrap_or((pair.trim(), ""));
        let value = String::from_utf8(STANDARD.decode(value.trim()).ok()?).ok()?;
        Some((name.to_owned(), value))
    };
    let pairs = text.split(',').filter(|text| !text.trim().is_empty());
    let allowed = "pairs of a name and a value in base64, with commas between";
    pairs.map(pair).collect::<Option<_>>().ok_or_else(|| Problem::invalid_parameter("upload-metadata", text, allowed))
}

/// `Upload-Checksum`, of the piece in the body.
pub(super) fn checksum(headers: &HeaderMap) -> Result<Option<Checksum>, Problem> {
    let Some(text) = header_text(headers, UPLOAD_CHECKSUM)? else { return Ok(None) };
    let allowed = "`sha1` or `sha256`, a space and the digest of the body in base64";
    Checksum::parse(text).map(Some).ok_or_else(|| Problem::invalid_parameter("upload-checksum", text, allowed))
}

//! `OPTIONS /v1/uploads`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{AppendHeaders, IntoResponse};

use super::headers;
use crate::http::App;
use crate::upload::resumable::Checksum;

/// What this server can do of the tus protocol, in headers.
#[utoipa::path(options, path = "/v1/uploads", operation_id = "describe_uploads", tag = "uploads",
    responses((status = 204, headers(
        ("tus-resumable" = String), ("tus-version" = String), ("tus-extension" = String), ("tus-max-size" = u64),
        ("tus-checksum-algorithm" = String),
    ))))]
pub(crate) async fn describe(State(app): State<App>) -> impl IntoResponse {
    let headers = [
        (headers::TUS_RESUMABLE, headers::VERSION.to_owned()),
        (headers::TUS_VERSION, headers::VERSION.to_owned()),
        (headers::TUS_EXTENSION, headers::EXTENSIONS.to_owned()),
        (headers::TUS_MAX_SIZE, app.resumable.max_bytes().to_string()),
        (headers::TUS_CHECKSUM_ALGORITHM, Checksum::ALGORITHMS.to_owned()),
    ];
    (StatusCode::NO_CONTENT, AppendHeaders(headers))
}

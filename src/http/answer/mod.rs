//! What goes back: problem documents, quotes, ranges of files, and the end of a body that was refused.

pub(super) mod drain;
pub(super) mod problem;
pub(super) mod quote;
pub(super) mod range;

use axum::Json;
use axum::http::{HeaderName, StatusCode};

/// The answer 201, with the place of what was made.
pub(super) type Created<T> = (StatusCode, [(HeaderName, String); 1], Json<T>);

//! `DELETE /v1/keys/{id}`

use axum::extract::State;
use axum::http::StatusCode;

use crate::access::{Caller, Scope};
use crate::http::App;
use crate::http::answer::problem::{Problem, ProblemDocument};
use crate::http::request::id::Own;
use crate::id::KeyId;
use crate::table::api_key;

/// Revoke a key, and end its sessions: the next request with it is refused.
#[utoipa::path(delete, path = "/v1/keys/{id}", operation_id = "revoke_key", tag = "access",
    params(("id" = String, Path)),
    responses(
        (status = 204, description = "It is revoked"),
        (status = "4XX", body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub(crate) async fn revoke(State(app): State<App>, caller: Caller, Own(id): Own<KeyId>) -> Result<StatusCode, Problem> {
    caller.require(Scope::Admin)?;
    api_key::revoke(app.database.pool(), id).await?;
    tracing::info!(key = %id, "key revoked");
    Ok(StatusCode::NO_CONTENT)
}

//! `DELETE /v1/webhook-secrets/{id}`

use axum::extract::State;
use axum::http::StatusCode;

use crate::access::{Caller, Scope};
use crate::http::App;
use crate::http::answer::problem::{Problem, ProblemDocument};
use crate::http::request::id::Own;
use crate::id::WebhookSecretId;
use crate::table::webhook_secret;

/// Delete a secret at once: the next attempt of every delivery is signed without it. When it was the last one, another is made that nobody
/// knows.
#[utoipa::path(delete, path = "/v1/webhook-secrets/{id}", operation_id = "delete_webhook_secret", tag = "webhooks",
    params(("id" = String, Path)),
    responses(
        (status = 204, description = "It is gone"),
        (status = "4XX", body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub(crate) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Own(id): Own<WebhookSecretId>,
) -> Result<StatusCode, Problem> {
    caller.require(Scope::Admin)?;
    webhook_secret::delete(app.database.pool(), id).await?;
    tracing::info!(secret = %id, "webhook secret deleted");
    Ok(StatusCode::NO_CONTENT)
}

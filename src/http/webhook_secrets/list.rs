//! `GET /v1/webhook-secrets`

use axum::Json;
use axum::extract::State;

use super::{WebhookSecretList, WebhookSecretOut};
use crate::access::{Caller, Scope};
use crate::http::App;
use crate::http::answer::problem::{Problem, ProblemDocument};
use crate::table::webhook_secret;

/// The secrets that sign the deliveries of the administrator's own tenant.
#[utoipa::path(get, path = "/v1/webhook-secrets", operation_id = "list_webhook_secrets", tag = "webhooks",
    responses(
        (status = 200, body = WebhookSecretList),
        (status = "4XX", body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub(crate) async fn list(State(app): State<App>, caller: Caller) -> Result<Json<WebhookSecretList>, Problem> {
    caller.require(Scope::Admin)?;
    let secrets = webhook_secret::list(app.database.pool(), Some(&caller.tenant)).await?;
    Ok(Json(WebhookSecretList { items: secrets.into_iter().map(WebhookSecretOut::from).collect() }))
}

//! `POST /v1/webhook-secrets`

use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};

use super::{NewWebhookSecretOut, WebhookSecretIn};
use crate::access::{Caller, Scope};
use crate::http::App;
use crate::http::answer::Created;
use crate::http::answer::problem::{Code, Problem, ProblemDocument};
use crate::http::request::body::{parse_json, read_body};
use crate::webhook::rotation::{self, LONGEST_GRACE_HOURS, MOST, Rotation};

/// Make a secret of the administrator's own tenant that takes the place of those before it. The answer has it in full, which is not to be had
/// again.
#[utoipa::path(post, path = "/v1/webhook-secrets", operation_id = "create_webhook_secret", tag = "webhooks",
    request_body = Option<WebhookSecretIn>,
    responses(
        (status = 201, body = NewWebhookSecretOut, headers(("location" = String))),
        (status = "4XX", body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    request: Request,
) -> Result<Created<NewWebhookSecretOut>, Problem> {
    caller.require(Scope::Admin)?;
    let body = read_body(request.into_body()).await?;
    let asked: WebhookSecretIn = if body.is_empty() { WebhookSecretIn::default() } else { parse_json(&body)? };
    let hours = asked.grace_hours;
    if hours > LONGEST_GRACE_HOURS {
        let allowed = format!("a whole number from 0 to {LONGEST_GRACE_HOURS}");
        return Err(Problem::invalid_parameter("grace_hours", &hours.to_string(), &allowed));
    }
    match rotation::rotate(&app.database, &caller.tenant, Duration::from_hours(hours.into())).await? {
        Rotation::Made(made, secret) => {
            tracing::info!(secret = %made.id, tenant = %made.tenant, "webhook secret made");
            let location = (header::LOCATION, format!("/v1/webhook-secrets/{}", made.id));
            let body = NewWebhookSecretOut { about: made.into(), secret: secret.reveal().to_owned() };
            Ok((StatusCode::CREATED, [location], Json(body)))
        }
        Rotation::TooMany => {
            let detail = format!(
                "{MOST} secrets sign already: no more are allowed, since a delivery carries a signature of each."
            );
            Err(Problem::new(Code::TooManyWebhookSecrets, detail)
                .hint("Delete one that no receiver needs, with DELETE /v1/webhook-secrets/{id}."))
        }
    }
}

//! `GET /v1/jobs/{id}/deliveries`

use axum::Json;
use axum::extract::State;

use super::DeliveryList;
use crate::http::App;
use crate::http::answer::problem::{Problem, ProblemDocument};
use crate::http::request::id::Own;
use crate::id::JobId;

/// What a job's webhook was told or is to be told, with every attempt.
#[utoipa::path(get, path = "/v1/jobs/{id}/deliveries", operation_id = "list_deliveries", tag = "webhooks",
    params(("id" = String, Path)),
    responses(
        (status = 200, body = DeliveryList),
        (status = 404, body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub(crate) async fn list(State(app): State<App>, Own(id): Own<JobId>) -> Result<Json<DeliveryList>, Problem> {
    Ok(Json(DeliveryList::find(&app, id).await?))
}

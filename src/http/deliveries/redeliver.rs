//! `POST /v1/jobs/{id}/deliveries/{delivery_id}/redeliver`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::{DeliveryList, DeliveryOut};
use crate::access::{Caller, Scope};
use crate::http::App;
use crate::http::answer::problem::{Code, Problem, ProblemDocument};
use crate::http::answer::quote::{LONGEST_VALUE, cut};
use crate::http::request::id::Own;
use crate::http::request::parameters::DeliveryPath;
use crate::id::{DeliveryId, JobId};

/// Deliver something now, whether it has arrived, was given up, or waits for its next attempt. It has all its attempts before it again,
/// with the same `webhook-id` and body.
#[utoipa::path(post, path = "/v1/jobs/{id}/deliveries/{delivery_id}/redeliver", operation_id = "redeliver", tag = "webhooks",
    params(("id" = String, Path), ("delivery_id" = String, Path)),
    responses(
        (status = 202, body = DeliveryOut),
        (status = 404, body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub(crate) async fn redeliver(
    State(app): State<App>,
    caller: Caller,
    Own(job): Own<JobId>,
    DeliveryPath(delivery): DeliveryPath,
) -> Result<(StatusCode, Json<DeliveryOut>), Problem> {
    caller.require(Scope::Submit)?;
    let not_found = || {
        let shown = cut(&delivery, LONGEST_VALUE);
        Problem::new(Code::DeliveryNotFound, format!("There is no delivery `{shown}` of job `{job}`."))
    };
    let id: DeliveryId = delivery.parse().map_err(|_| not_found())?;
    if !app.queue.redeliver(job, id).await? {
        return Err(not_found());
    }
    let deliveries = DeliveryList::find(&app, job).await?.items;
    let delivery = deliveries.into_iter().find(|delivery| delivery.id == id).ok_or_else(not_found)?;
    Ok((StatusCode::ACCEPTED, Json(delivery)))
}

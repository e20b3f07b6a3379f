//! `GET /v1/jobs/{id}/judgements`

use axum::Json;
use axum::extract::State;

use super::JudgementsOut;
use crate::http::App;
use crate::http::answer::problem::{Problem, ProblemDocument};
use crate::http::request::id::Own;
use crate::id::JobId;

/// The finalists that a job's judge is asked about, with a link to each file and the scores so far.
#[utoipa::path(get, path = "/v1/jobs/{id}/judgements", operation_id = "list_judgements", tag = "jobs",
    params(("id" = String, Path)),
    responses(
        (status = 200, body = JudgementsOut),
        (status = 404, body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub(crate) async fn list(State(app): State<App>, Own(id): Own<JobId>) -> Result<Json<JudgementsOut>, Problem> {
    Ok(Json(JudgementsOut::find(&app, id).await?))
}

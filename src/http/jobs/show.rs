//! `GET /v1/jobs/{id}`

use axum::Json;
use axum::extract::State;

use super::JobOut;
use crate::http::App;
use crate::http::answer::problem::{Problem, ProblemDocument};
use crate::http::request::id::Own;
use crate::http::request::parameters::Parameters;
use crate::http::request::wait;
use crate::id::JobId;
use crate::table::job;

/// A job; with `wait`, as soon as its status changes.
#[utoipa::path(get, path = "/v1/jobs/{id}", operation_id = "show_job", tag = "jobs",
    params(
        ("id" = String, Path),
        ("wait" = Option<u64>, Query, maximum = 60,
         description = "Seconds to wait for the status to change; a job that has ended answers at once"),
    ),
    responses(
        (status = 200, body = JobOut),
        (status = 400, body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub(crate) async fn show(
    State(app): State<App>,
    Own(id): Own<JobId>,
    parameters: Parameters,
) -> Result<Json<JobOut>, Problem> {
    if let Some(longest) = wait::longest(&parameters)?
        && let Some(now) = job::status(app.database.pool(), id).await?
    {
        wait::until(&app, id, longest, |status| status != now || status.is_final()).await?;
    }
    Ok(Json(JobOut::find(&app, id).await?))
}

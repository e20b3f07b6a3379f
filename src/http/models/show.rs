//! `GET /v1/models/{id}`

use axum::Json;
use axum::extract::State;

use super::{ModelOut, find};
use crate::http::App;
use crate::http::answer::problem::{Problem, ProblemDocument};
use crate::http::request::id::Own;
use crate::http::request::parameters::Parameters;
use crate::http::request::wait;
use crate::id::ModelId;
use crate::job::JobStatus;

/// A model, with what its import has found out.
#[utoipa::path(get, path = "/v1/models/{id}", operation_id = "show_model", tag = "models",
    params(
        ("id" = String, Path),
        ("wait" = Option<u64>, Query, maximum = 60,
         description = "Seconds to wait for an inspection that is queued or running to end"),
    ),
    responses(
        (status = 200, body = ModelOut),
        (status = 400, body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub(crate) async fn show(
    State(app): State<App>,
    Own(id): Own<ModelId>,
    parameters: Parameters,
) -> Result<Json<ModelOut>, Problem> {
    let longest = wait::longest(&parameters)?;
    let mut model = find(&app, id).await?;
    if let (Some(longest), Some(inspection)) = (longest, &model.inspection) {
        wait::until(&app, inspection.job, longest, JobStatus::is_final).await?;
        model = find(&app, id).await?;
    }
    Ok(Json(model.into()))
}

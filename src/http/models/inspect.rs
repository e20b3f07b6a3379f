//! `POST /v1/models/{id}/inspect`

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use secateur_core::spec::InspectionSpec;

use super::{InspectionIn, ModelOut, find};
use crate::access::{Caller, Scope};
use crate::http::App;
use crate::http::answer::problem::{Problem, ProblemDocument};
use crate::http::request::body::{parse_json, read_body};
use crate::http::request::id::Own;
use crate::id::ModelId;

/// Inspect a model, with the input shape that its file does not tell. What is known is not looked for again.
#[utoipa::path(post, path = "/v1/models/{id}/inspect", operation_id = "inspect_model", tag = "models",
    params(("id" = String, Path)),
    request_body(content = Option<InspectionIn>),
    responses(
        (status = 202, body = ModelOut),
        (status = "4XX", body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub(crate) async fn inspect(
    State(app): State<App>,
    caller: Caller,
    Own(id): Own<ModelId>,
    request: Request,
) -> Result<(StatusCode, Json<ModelOut>), Problem> {
    caller.require(Scope::Submit)?;
    let body = read_body(request.into_body()).await?;
    let wanted: InspectionIn = if body.is_empty() { InspectionIn::default() } else { parse_json(&body)? };
    let inspection = InspectionSpec::new(wanted.input_shape, wanted.inputs)?;
    app.queue.inspect(&caller.tenant, &find(&app, id).await?, inspection).await?;
    Ok((StatusCode::ACCEPTED, Json(find(&app, id).await?.into())))
}

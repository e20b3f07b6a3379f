//! `POST /v1/models`

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use secateur_core::spec::InspectionSpec;

use super::{ModelOut, find, parse_shapes};
use crate::access::{Caller, Scope};
use crate::http::App;
use crate::http::answer::Created;
use crate::http::answer::problem::{Problem, ProblemDocument};
use crate::http::request::multipart::{FileBytes, FileForm};
use crate::http::request::parameters::Parameters;
use crate::http::uploads::presigned::Arrived;

/// Upload a TorchScript model. The same bytes give the same model. It is inspected as soon as a worker is free.
#[utoipa::path(post, path = "/v1/models", operation_id = "upload_model", tag = "models",
    params(
        ("name" = Option<String>, Query, description = "What to call it; the file's name otherwise"),
        ("upload" = Option<String>, Query,
         description = "What was put into the bucket (`POST /v1/uploads/presigned`), instead of a body"),
        ("input_shape" = Option<String>, Query, example = "3,224,224",
         description = "One sample's shape without the batch, for the inspection; of several inputs `[3,224,224],[10]`. \
                        A model that was traced brings its own"),
    ),
    request_body(content(
        (FileBytes = "application/octet-stream"),
        (FileForm = "multipart/form-data"),
    ), description = "The file as the body, or as part `file`"),
    responses(
        (status = 201, body = ModelOut, headers(("location" = String))),
        (status = "4XX", body = ProblemDocument, content_type = "application/problem+json"),
        (status = "5XX", body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub(crate) async fn upload(
    State(app): State<App>,
    caller: Caller,
    parameters: Parameters,
    request: Request,
) -> Result<Created<ModelOut>, Problem> {
    caller.require(Scope::Submit)?;
    let shape = parameters.get("input_shape", parse_shapes, "sizes such as `3,224,224`, or `[3,224,224],[10]`")?;
    let inspection = InspectionSpec::new(shape, None)?;
    let (file, origin) = Arrived::receive(&app, &caller.tenant, &parameters, request).await?.into_parts();
    let model = app.uploads.accept_model(&caller, file.staged, file.name.as_deref()).await;
    let model = origin.settle(&app, &caller.tenant, model).await?;
    app.queue.inspect(&caller.tenant, &model, inspection).await?;
    let model = find(&app, model.id).await?;
    let location = format!("/v1/models/{}", model.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(model.into())))
}

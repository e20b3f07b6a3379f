//! `POST /v1/datasets`

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};

use super::DatasetOut;
use crate::access::{Caller, Scope};
use crate::http::App;
use crate::http::answer::Created;
use crate::http::answer::problem::{Problem, ProblemDocument};
use crate::http::request::multipart::{FileBytes, FileForm};
use crate::http::request::parameters::Parameters;
use crate::http::uploads::presigned::Arrived;

/// Upload a data set: `.npz`, `.safetensors`, or pictures, recordings and tables in the formats that are usual for them. The same bytes give
/// the same data set.
#[utoipa::path(post, path = "/v1/datasets", operation_id = "upload_dataset", tag = "datasets",
    params(
        ("name" = Option<String>, Query, description = "What to call it; the file's name otherwise"),
        ("upload" = Option<String>, Query,
         description = "What was put into the bucket (`POST /v1/uploads/presigned`), instead of a body"),
    ),
    request_body(content(
        (FileBytes = "application/octet-stream"),
        (FileForm = "multipart/form-data"),
    ), description = "The file as the body, or as part `file`"),
    responses(
        (status = 201, body = DatasetOut, headers(("location" = String))),
        (status = "4XX", body = ProblemDocument, content_type = "application/problem+json"),
        (status = "5XX", body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub(crate) async fn upload(
    State(app): State<App>,
    caller: Caller,
    parameters: Parameters,
    request: Request,
) -> Result<Created<DatasetOut>, Problem> {
    caller.require(Scope::Submit)?;
    let (file, origin) = Arrived::receive(&app, &caller.tenant, &parameters, request).await?.into_parts();
    let dataset = app.uploads.accept_dataset(&caller, file.staged, file.name.as_deref()).await;
    let dataset = origin.settle(&app, &caller.tenant, dataset).await?;
    let location = format!("/v1/datasets/{}", dataset.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(dataset.into())))
}

//! `/v1/models`

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderName, StatusCode, header};
use secateur_core::report::ModelSummary;
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::App;
use super::multipart::receive_file;
use super::problem::{Problem, ProblemDocument};
use super::request::{Id, Parameters, not_found};
use crate::id::ModelId;
use crate::table::model::{self, Model};

/// An uploaded model.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModelOut {
    #[schema(value_type = String, example = "mdl_0198c2f4a7b17c3e8d21f00dcafe1234")]
    id: ModelId,
    name: Option<String>,
    /// Hexadecimal.
    sha256: String,
    bytes: u64,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    /// Layers, groups, costs and limits; `null` until a job has imported the model.
    summary: Option<ModelSummary>,
}

/// A page of models, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModelPage {
    items: Vec<ModelOut>,
    /// `after` of the next page; `null` on the last one.
    #[schema(value_type = Option<String>)]
    next: Option<ModelId>,
}

impl From<Model> for ModelOut {
    fn from(model: Model) -> Self {
        let Model { id, name, sha256, bytes, blob: _, summary, created_at } = model;
        Self { id, name, sha256: sha256.to_string(), bytes, created_at, summary }
    }
}

type Created<T> = (StatusCode, [(HeaderName, String); 1], Json<T>);

/// Upload a TorchScript model. The same bytes give the same model.
#[utoipa::path(post, path = "/v1/models", tag = "models",
    params(("name" = Option<String>, Query, description = "What to call it; the file's name otherwise")),
    request_body(content(
        (Vec<u8> = "application/octet-stream"),
        (Vec<u8> = "multipart/form-data"),
    ), description = "The file as the body, or as part `file`"),
    responses(
        (status = 201, body = ModelOut, headers(("location" = String))),
        (status = "4XX", body = ProblemDocument, content_type = "application/problem+json"),
        (status = "5XX", body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub async fn upload(
    State(app): State<App>,
    parameters: Parameters,
    request: Request,
) -> Result<Created<ModelOut>, Problem> {
    let file = receive_file(&app.staging, parameters.text("name"), request).await?;
    let model = app.uploads.accept_model(file.staged, file.name.as_deref()).await?;
    let location = format!("/v1/models/{}", model.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(model.into())))
}

/// A model, with what its import has found out.
#[utoipa::path(get, path = "/v1/models/{id}", tag = "models",
    params(("id" = String, Path)),
    responses(
        (status = 200, body = ModelOut),
        (status = 404, body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub async fn show(State(app): State<App>, Id(id): Id<ModelId>) -> Result<Json<ModelOut>, Problem> {
    let model = model::find(app.queue.database().pool(), id).await?;
    Ok(Json(model.ok_or_else(|| not_found::<ModelId>(id))?.into()))
}

/// Models, newest first.
#[utoipa::path(get, path = "/v1/models", tag = "models",
    params(
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 200, description = "Items of a page, 50 by default"),
        ("after" = Option<String>, Query, description = "`next` of the page before"),
    ),
    responses(
        (status = 200, body = ModelPage),
        (status = 400, body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub async fn list(State(app): State<App>, parameters: Parameters) -> Result<Json<ModelPage>, Problem> {
    let limit = parameters.limit()?;
    let mut models = model::list(app.queue.database().pool(), parameters.after()?, limit + 1).await?;
    let next = (models.len() > limit as usize).then(|| models[limit as usize - 1].id);
    models.truncate(limit as usize);
    Ok(Json(ModelPage { items: models.into_iter().map(ModelOut::from).collect(), next }))
}

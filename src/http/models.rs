//! `/v1/models`

use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderName, StatusCode, header};
use secateur_core::inspection::ModelSummary;
use secateur_core::spec::{InputShape, InspectionSpec};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::multipart::receive_file;
use super::problem::{Code, Problem, ProblemDocument};
use super::request::{Own, Parameters, not_found, parse_json, read_body};
use super::{App, wait};
use crate::access::{Caller, Scope};
use crate::id::ModelId;
use crate::job::{JobError, JobStatus};
use crate::table::model::{self, Inspection, Model};
use crate::upload::UploadDeletion;

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
    /// Layers, groups, costs, limits and what keeps more from going; `null` until an inspection or a job has imported the model.
    summary: Option<ModelSummary>,
    /// The latest inspection that was asked for; an upload asks for one.
    inspection: Option<InspectionOut>,
}

/// A look at a model without pruning it.
#[derive(Debug, Serialize, ToSchema)]
pub struct InspectionOut {
    status: JobStatus,
    /// When `status` is `failed`: why the model cannot be pruned, or what is missing to say.
    error: Option<JobError>,
}

/// What an inspection needs to know.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InspectionIn {
    /// As in a job spec; a model that was traced brings its own.
    #[serde(default)]
    input_shape: Option<InputShape>,
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
        let Model { id, name, sha256, bytes, blob: _, summary, inspection, created_at } = model;
        let inspection = inspection.map(|Inspection { job: _, status, error }| InspectionOut { status, error });
        Self { id, name, sha256: sha256.to_string(), bytes, created_at, summary, inspection }
    }
}

type Created<T> = (StatusCode, [(HeaderName, String); 1], Json<T>);

/// Upload a TorchScript model. The same bytes give the same model. It is inspected as soon as a worker is free.
#[utoipa::path(post, path = "/v1/models", tag = "models",
    params(
        ("name" = Option<String>, Query, description = "What to call it; the file's name otherwise"),
        ("input_shape" = Option<String>, Query, example = "3,224,224",
         description = "One sample's shape without the batch, for the inspection; of several inputs `[3,224,224],[10]`. \
                        A model that was traced brings its own"),
    ),
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
    caller: Caller,
    parameters: Parameters,
    request: Request,
) -> Result<Created<ModelOut>, Problem> {
    caller.require(Scope::Submit)?;
    let shape = parameters.get("input_shape", parse_shapes, "sizes such as `3,224,224`, or `[3,224,224],[10]`")?;
    let inspection = InspectionSpec::new(shape)?;
    let file = receive_file(&app.staging, parameters.text("name"), request).await?;
    let model = app.uploads.accept_model(&caller, file.staged, file.name.as_deref()).await?;
    app.queue.inspect(&caller.tenant, &model, inspection).await?;
    let model = find(&app, model.id).await?;
    let location = format!("/v1/models/{}", model.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(model.into())))
}

/// A model, with what its import has found out.
#[utoipa::path(get, path = "/v1/models/{id}", tag = "models",
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
pub async fn show(
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

/// Inspect a model, with the input shape that its file does not tell. What is known is not looked for again.
#[utoipa::path(post, path = "/v1/models/{id}/inspect", tag = "models",
    params(("id" = String, Path)),
    request_body(content = Option<InspectionIn>),
    responses(
        (status = 202, body = ModelOut),
        (status = "4XX", body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub async fn inspect(
    State(app): State<App>,
    caller: Caller,
    Own(id): Own<ModelId>,
    request: Request,
) -> Result<(StatusCode, Json<ModelOut>), Problem> {
    caller.require(Scope::Submit)?;
    let body = read_body(request.into_body()).await?;
    let wanted: InspectionIn = if body.is_empty() { InspectionIn::default() } else { parse_json(&body)? };
    let inspection = InspectionSpec::new(wanted.input_shape)?;
    app.queue.inspect(&caller.tenant, &find(&app, id).await?, inspection).await?;
    Ok((StatusCode::ACCEPTED, Json(find(&app, id).await?.into())))
}

async fn find(app: &App, id: ModelId) -> Result<Model, Problem> {
    let model = model::find(app.queue.database().pool(), id).await?;
    model.ok_or_else(|| not_found::<ModelId>(id))
}

/// `3,224,224`, or for several inputs `[3,224,224],[10]`.
fn parse_shapes(text: &str) -> Option<InputShape> {
    if text.trim().is_empty() {
        return None;
    }
    serde_json::from_str(&format!("[{text}]")).or_else(|_| serde_json::from_str(text)).ok()
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
pub async fn list(State(app): State<App>, caller: Caller, parameters: Parameters) -> Result<Json<ModelPage>, Problem> {
    let limit = parameters.limit()?;
    let mut models = model::list(app.queue.database().pool(), &caller.tenant, parameters.after()?, limit + 1).await?;
    let next = (models.len() > limit as usize).then(|| models[limit as usize - 1].id);
    models.truncate(limit as usize);
    Ok(Json(ModelPage { items: models.into_iter().map(ModelOut::from).collect(), next }))
}

/// Delete a model. Jobs that have ended keep their results; one that is queued or running keeps what it needs.
#[utoipa::path(delete, path = "/v1/models/{id}", tag = "models",
    params(("id" = String, Path)),
    responses(
        (status = 204, description = "It is gone"),
        (status = 404, body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, body = ProblemDocument, content_type = "application/problem+json",
         description = "Jobs need it; the member `jobs` names them"),
    ))]
pub async fn delete(State(app): State<App>, caller: Caller, Own(id): Own<ModelId>) -> Result<StatusCode, Problem> {
    caller.require(Scope::Submit)?;
    match app.uploads.delete_model(id, Duration::ZERO).await? {
        UploadDeletion::Deleted => Ok(app.free_blobs().await),
        UploadDeletion::NeededBy(jobs) => Err(Problem::needed(Code::ModelInUse, &format!("Model `{id}`"), &jobs)),
        UploadDeletion::NoSuchUpload => Err(not_found::<ModelId>(id)),
    }
}

//! `/v1/datasets`

use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderName, StatusCode, header};
use secateur_core::dataset::DatasetSummary;
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::App;
use super::multipart::receive_file;
use super::problem::{Code, Problem, ProblemDocument};
use super::request::{Own, Parameters, not_found};
use crate::access::{Caller, Scope};
use crate::id::DatasetId;
use crate::table::dataset::{self, Dataset};
use crate::upload::UploadDeletion;

/// An uploaded data set.
#[derive(Debug, Serialize, ToSchema)]
pub struct DatasetOut {
    #[schema(value_type = String, example = "dst_0198c2f4a7b17c3e8d21f00dcafe1234")]
    id: DatasetId,
    name: Option<String>,
    /// Hexadecimal.
    sha256: String,
    bytes: u64,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    /// Arrays, splits and classes.
    summary: DatasetSummary,
}

/// A page of data sets, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct DatasetPage {
    items: Vec<DatasetOut>,
    /// `after` of the next page; `null` on the last one.
    #[schema(value_type = Option<String>)]
    next: Option<DatasetId>,
}

impl From<Dataset> for DatasetOut {
    fn from(dataset: Dataset) -> Self {
        let Dataset { id, name, sha256, bytes, blob: _, summary, created_at } = dataset;
        Self { id, name, sha256: sha256.to_string(), bytes, created_at, summary }
    }
}

type Created<T> = (StatusCode, [(HeaderName, String); 1], Json<T>);

/// Upload a data set, `.npz` or `.safetensors`. The same bytes give the same data set.
#[utoipa::path(post, path = "/v1/datasets", tag = "datasets",
    params(("name" = Option<String>, Query, description = "What to call it; the file's name otherwise")),
    request_body(content(
        (Vec<u8> = "application/octet-stream"),
        (Vec<u8> = "multipart/form-data"),
    ), description = "The file as the body, or as part `file`"),
    responses(
        (status = 201, body = DatasetOut, headers(("location" = String))),
        (status = "4XX", body = ProblemDocument, content_type = "application/problem+json"),
        (status = "5XX", body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub async fn upload(
    State(app): State<App>,
    caller: Caller,
    parameters: Parameters,
    request: Request,
) -> Result<Created<DatasetOut>, Problem> {
    caller.require(Scope::Submit)?;
    let file = receive_file(&app.staging, parameters.text("name"), request).await?;
    let dataset = app.uploads.accept_dataset(&caller, file.staged, file.name.as_deref()).await?;
    let location = format!("/v1/datasets/{}", dataset.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(dataset.into())))
}

/// A data set.
#[utoipa::path(get, path = "/v1/datasets/{id}", tag = "datasets",
    params(("id" = String, Path)),
    responses(
        (status = 200, body = DatasetOut),
        (status = 404, body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub async fn show(State(app): State<App>, Own(id): Own<DatasetId>) -> Result<Json<DatasetOut>, Problem> {
    let dataset = dataset::find(app.queue.database().pool(), id).await?;
    Ok(Json(dataset.ok_or_else(|| not_found::<DatasetId>(id))?.into()))
}

/// Data sets, newest first.
#[utoipa::path(get, path = "/v1/datasets", tag = "datasets",
    params(
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 200, description = "Items of a page, 50 by default"),
        ("after" = Option<String>, Query, description = "`next` of the page before"),
    ),
    responses(
        (status = 200, body = DatasetPage),
        (status = 400, body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    parameters: Parameters,
) -> Result<Json<DatasetPage>, Problem> {
    let limit = parameters.limit()?;
    let mut datasets =
        dataset::list(app.queue.database().pool(), &caller.tenant, parameters.after()?, limit + 1).await?;
    let next = (datasets.len() > limit as usize).then(|| datasets[limit as usize - 1].id);
    datasets.truncate(limit as usize);
    Ok(Json(DatasetPage { items: datasets.into_iter().map(DatasetOut::from).collect(), next }))
}

/// Delete a data set. Jobs that have ended keep their results; one that is queued or running keeps what it needs.
#[utoipa::path(delete, path = "/v1/datasets/{id}", tag = "datasets",
    params(("id" = String, Path)),
    responses(
        (status = 204, description = "It is gone"),
        (status = 404, body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, body = ProblemDocument, content_type = "application/problem+json",
         description = "Jobs need it; the member `jobs` names them"),
    ))]
pub async fn delete(State(app): State<App>, caller: Caller, Own(id): Own<DatasetId>) -> Result<StatusCode, Problem> {
    caller.require(Scope::Submit)?;
    match app.uploads.delete_dataset(id, Duration::ZERO).await? {
        UploadDeletion::Deleted => Ok(app.free_blobs().await),
        UploadDeletion::NeededBy(jobs) => Err(Problem::needed(Code::DatasetInUse, &format!("Data set `{id}`"), &jobs)),
        UploadDeletion::NoSuchUpload => Err(not_found::<DatasetId>(id)),
    }
}

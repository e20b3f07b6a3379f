//! `GET /v1/datasets/{id}`

use axum::Json;
use axum::extract::State;

use super::DatasetOut;
use crate::http::App;
use crate::http::answer::problem::{Problem, ProblemDocument};
use crate::http::request::id::{Own, not_found};
use crate::id::DatasetId;
use crate::table::dataset;

/// A data set.
#[utoipa::path(get, path = "/v1/datasets/{id}", operation_id = "show_dataset", tag = "datasets",
    params(("id" = String, Path)),
    responses(
        (status = 200, body = DatasetOut),
        (status = 404, body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub(crate) async fn show(State(app): State<App>, Own(id): Own<DatasetId>) -> Result<Json<DatasetOut>, Problem> {
    let dataset = dataset::find(app.database.pool(), id).await?;
    Ok(Json(dataset.ok_or_else(|| not_found::<DatasetId>(id))?.into()))
}

//! `GET /v1/datasets`

use axum::Json;
use axum::extract::State;

use super::{DatasetOut, DatasetPage};
use crate::access::Caller;
use crate::http::App;
use crate::http::answer::problem::{Problem, ProblemDocument};
use crate::http::request::page::PageRequest;
use crate::http::request::parameters::Parameters;
use crate::table::dataset;

/// Data sets, newest first.
#[utoipa::path(get, path = "/v1/datasets", operation_id = "list_datasets", tag = "datasets",
    params(
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 200, description = "Items of a page, 50 by default"),
        ("after" = Option<String>, Query, description = "`next` of the page before"),
    ),
    responses(
        (status = 200, body = DatasetPage),
        (status = 400, body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    parameters: Parameters,
) -> Result<Json<DatasetPage>, Problem> {
    let page = PageRequest::of(&parameters)?;
    let datasets = dataset::list(app.database.pool(), &caller.tenant, page.after, page.to_fetch()).await?;
    let (datasets, next) = page.cut(datasets, |item| item.id);
    Ok(Json(DatasetPage { items: datasets.into_iter().map(DatasetOut::from).collect(), next }))
}

//! `GET /v1/models`

use axum::Json;
use axum::extract::State;

use super::{ModelOut, ModelPage};
use crate::access::Caller;
use crate::http::App;
use crate::http::answer::problem::{Problem, ProblemDocument};
use crate::http::request::page::PageRequest;
use crate::http::request::parameters::Parameters;
use crate::table::model;

/// Models, newest first.
#[utoipa::path(get, path = "/v1/models", operation_id = "list_models", tag = "models",
    params(
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 200, description = "Items of a page, 50 by default"),
        ("after" = Option<String>, Query, description = "`next` of the page before"),
    ),
    responses(
        (status = 200, body = ModelPage),
        (status = 400, body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    parameters: Parameters,
) -> Result<Json<ModelPage>, Problem> {
    let page = PageRequest::of(&parameters)?;
    let models = model::list(app.database.pool(), &caller.tenant, page.after, page.to_fetch()).await?;
    let (models, next) = page.cut(models, |item| item.id);
    Ok(Json(ModelPage { items: models.into_iter().map(ModelOut::from).collect(), next }))
}

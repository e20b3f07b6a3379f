//! `GET /v1/keys`

use axum::Json;
use axum::extract::State;

use super::{KeyOut, KeyPage};
use crate::access::{Caller, Scope};
use crate::http::App;
use crate::http::answer::problem::{Problem, ProblemDocument};
use crate::http::request::page::PageRequest;
use crate::http::request::parameters::Parameters;
use crate::table::api_key;

/// Keys of the administrator's own tenant, newest first, revoked ones too.
#[utoipa::path(get, path = "/v1/keys", operation_id = "list_keys", tag = "access",
    params(
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 200, description = "Items of a page, 50 by default"),
        ("after" = Option<String>, Query, description = "`next` of the page before"),
    ),
    responses(
        (status = 200, body = KeyPage),
        (status = "4XX", body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    parameters: Parameters,
) -> Result<Json<KeyPage>, Problem> {
    caller.require(Scope::Admin)?;
    let page = PageRequest::of(&parameters)?;
    let pool = app.database.pool();
    let keys = api_key::list(pool, Some(&caller.tenant), page.after, page.to_fetch()).await?;
    let (keys, next) = page.cut(keys, |item| item.id);
    Ok(Json(KeyPage { items: keys.into_iter().map(KeyOut::from).collect(), next }))
}

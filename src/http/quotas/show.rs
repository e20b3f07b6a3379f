//! `GET /v1/quotas`

use axum::Json;
use axum::extract::State;

use super::QuotasOut;
use crate::access::Caller;
use crate::http::App;
use crate::http::answer::problem::{Problem, ProblemDocument};
use crate::quota::Use;

/// What the caller's tenant has and may have.
#[utoipa::path(get, path = "/v1/quotas", operation_id = "show_quotas", tag = "access",
    responses(
        (status = 200, body = QuotasOut),
        (status = 401, body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub(crate) async fn show(State(app): State<App>, caller: Caller) -> Result<Json<QuotasOut>, Problem> {
    let used = Use::of(&app.database, &caller.tenant).await?;
    Ok(Json(QuotasOut::new(used, app.quotas.of(&caller))))
}

//! `GET /v1/session`

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;

use super::{SessionOut, of_request};
use crate::access::Caller;
use crate::http::App;
use crate::http::answer::problem::{Problem, ProblemDocument};

/// Who the caller is, and the token that a page with a session sends with what changes something.
#[utoipa::path(get, path = "/v1/session", operation_id = "show_session", tag = "access",
    responses(
        (status = 200, body = SessionOut),
        (status = 401, body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Json<SessionOut>, Problem> {
    // The cookie of a session that has ended is nothing to a server without keys.
    let session = of_request(&app, &headers).filter(|_| caller.key_id.is_some());
    Ok(Json(SessionOut::of(&app, caller, session.as_ref()).await?))
}

//! `DELETE /v1/session`

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};

use super::{WithCookie, of_request};
use crate::access::Caller;
use crate::http::App;
use crate::http::answer::problem::{Problem, ProblemDocument};

/// End the session.
#[utoipa::path(delete, path = "/v1/session", operation_id = "close_session", tag = "access",
    responses(
        (status = 204, description = "It has ended, or there was none"),
        (status = 401, body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub(crate) async fn close(State(app): State<App>, _: Caller, headers: HeaderMap) -> Result<WithCookie<()>, Problem> {
    if let Some(session) = of_request(&app, &headers) {
        session.close(&app.database).await?;
    }
    Ok((StatusCode::NO_CONTENT, [app.cookie.set("", 0)], ()))
}

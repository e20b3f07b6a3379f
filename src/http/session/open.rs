//! `POST /v1/session`

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};

use super::{LONGEST_BODY, SessionIn, SessionOut, WithCookie};
use crate::access::session::LIFETIME;
use crate::access::{AccessError, Credentials, Session};
use crate::http::App;
use crate::http::answer::problem::{Problem, ProblemDocument};
use crate::http::request::body::parse_json;
use crate::http::request::credentials::bearer;

/// Open a session: the cookie is not readable to scripts, is sent to this site only, and lasts 12 hours at most.
#[utoipa::path(post, path = "/v1/session", operation_id = "open_session", tag = "access", security((), ("key" = [])),
    request_body(content = Option<SessionIn>),
    responses(
        (status = 201, body = SessionOut, headers(("set-cookie" = String))),
        (status = 401, body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub(crate) async fn open(State(app): State<App>, request: Request) -> Result<WithCookie<Json<SessionOut>>, Problem> {
    let shown = request.headers().get(header::AUTHORIZATION).map(bearer).map(str::to_owned);
    let key = match shown {
        Some(key) => key,
        None => {
            let body = axum::body::to_bytes(request.into_body(), LONGEST_BODY).await;
            let body = body.map_err(|_| Problem::payload_too_large(LONGEST_BODY as u64))?;
            if body.is_empty() {
                return Err(AccessError::NothingShown.into());
            }
            parse_json::<SessionIn>(&body)?.key
        }
    };
    let caller = app.access.identify(Credentials::Key(&key)).await?;
    let key_id = caller.key_id.ok_or(AccessError::NotInForce)?;
    let session = Session::open(&app.database, key_id).await?;
    let cookie = app.cookie.set(session.token(), LIFETIME.as_secs());
    Ok((StatusCode::CREATED, [cookie], Json(SessionOut::of(&app, caller, Some(&session)).await?)))
}

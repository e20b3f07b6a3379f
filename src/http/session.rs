//! `/v1/session`: a browser shows its key once and has a cookie from then on.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::App;
use super::problem::{Problem, ProblemDocument};
use super::request::parse_json;
use crate::access::session::LIFETIME;
use crate::access::{AccessError, Caller, Credentials, PublicUrl, Scope, Session};
use crate::id::KeyId;
use crate::table;

/// Anyone may send one, so it is read no further than a key may need.
const LONGEST_BODY: usize = 4096;

/// How the session's cookie is called and kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CookieKind {
    /// Sent over TLS only and to this host only: the prefix makes browsers insist on both.
    Secure,
    Plain,
}

impl CookieKind {
    /// The callers' URL decides, since a proxy may speak TLS for us.
    pub fn of(public_url: Option<&PublicUrl>) -> Self {
        if public_url.is_some_and(PublicUrl::is_https) { Self::Secure } else { Self::Plain }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Secure => "__Host-secateur",
            Self::Plain => "secateur",
        }
    }

    fn set(self, value: &str, seconds: u64) -> (HeaderName, String) {
        let secure = if self == Self::Secure { "; Secure" } else { "" };
        let name = self.name();
        let cookie = format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
        (header::SET_COOKIE, cookie)
    }
}

/// The token in the session's cookie.
#[derive(Debug, Clone, Copy)]
pub struct SessionCookie<'a>(pub &'a str);

impl<'a> SessionCookie<'a> {
    pub fn of(headers: &'a HeaderMap, kind: CookieKind) -> Option<Self> {
        let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
        let mut cookies = lines.flat_map(|line| line.split(';')).filter_map(|cookie| cookie.trim().split_once('='));
        cookies.find(|(name, _)| *name == kind.name()).map(|(_, token)| Self(token))
    }
}

/// A key to open a session with; `Authorization: Bearer KEY` does the same.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionIn {
    key: String,
}

/// Who the caller is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Session)]
pub struct SessionOut {
    tenant: String,
    scope: Scope,
    /// `null` on a server without keys.
    #[schema(value_type = Option<String>)]
    key_id: Option<KeyId>,
    /// What goes into `X-CSRF-Token`; `null` when the caller shows a key, or nothing, instead of a cookie.
    csrf_token: Option<String>,
    #[serde(with = "time::serde::rfc3339::option")]
    expires_at: Option<OffsetDateTime>,
}

impl SessionOut {
    async fn of(app: &App, caller: Caller, session: Option<&Session>) -> Result<Self, Problem> {
        let expires_at = match session {
            Some(session) => table::session::expires_at(app.queue.database().pool(), session.sha256()).await?,
            None => None,
        };
        Ok(Self {
            tenant: caller.tenant.to_string(),
            scope: caller.scope,
            key_id: caller.key_id,
            csrf_token: session.map(Session::csrf_token),
            expires_at,
        })
    }
}

type WithCookie<T> = (StatusCode, [(HeaderName, String); 1], T);

/// Open a session: the cookie is not readable to scripts, is sent to this site only, and lasts 12 hours at most.
#[utoipa::path(post, path = "/v1/session", tag = "access", security((), ("key" = [])),
    request_body(content = Option<SessionIn>),
    responses(
        (status = 201, body = SessionOut, headers(("set-cookie" = String))),
        (status = 401, body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub async fn open(State(app): State<App>, request: Request) -> Result<WithCookie<Json<SessionOut>>, Problem> {
    let shown = request.headers().get(header::AUTHORIZATION).map(super::guard::bearer).map(str::to_owned);
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
    let session = Session::open(app.queue.database(), key_id).await?;
    let cookie = app.cookie.set(session.token(), LIFETIME.as_secs());
    Ok((StatusCode::CREATED, [cookie], Json(SessionOut::of(&app, caller, Some(&session)).await?)))
}

/// Who the caller is, and the token that a page with a session sends with what changes something.
#[utoipa::path(get, path = "/v1/session", tag = "access",
    responses(
        (status = 200, body = SessionOut),
        (status = 401, body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub async fn show(State(app): State<App>, caller: Caller, headers: HeaderMap) -> Result<Json<SessionOut>, Problem> {
    // The cookie of a session that has ended is nothing to a server without keys.
    let session = of_request(&app, &headers).filter(|_| caller.key_id.is_some());
    Ok(Json(SessionOut::of(&app, caller, session.as_ref()).await?))
}

/// End the session.
#[utoipa::path(delete, path = "/v1/session", tag = "access",
    responses(
        (status = 204, description = "It has ended, or there was none"),
        (status = 401, body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub async fn close(State(app): State<App>, _: Caller, headers: HeaderMap) -> Result<WithCookie<()>, Problem> {
    if let Some(session) = of_request(&app, &headers) {
        session.close(app.queue.database()).await?;
    }
    Ok((StatusCode::NO_CONTENT, [app.cookie.set("", 0)], ()))
}

/// The session that a request was let in with.
fn of_request(app: &App, headers: &HeaderMap) -> Option<Session> {
    if headers.contains_key(header::AUTHORIZATION) {
        return None;
    }
    SessionCookie::of(headers, app.cookie).and_then(|SessionCookie(token)| Session::parse(token))
}

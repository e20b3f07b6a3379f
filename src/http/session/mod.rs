//! `/v1/session`: a browser shows its key once and has a cookie from then on.

pub(super) mod close;
pub(super) mod open;
pub(super) mod show;

use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::access::{Caller, Scope, Session};
use crate::http::App;
use crate::http::answer::problem::Problem;
use crate::http::request::credentials::SessionCookie;
use crate::id::KeyId;
use crate::table;

/// Anyone may send one, so it is read no further than a key may need.
const LONGEST_BODY: usize = 4096;

/// A key to open a session with; `Authorization: Bearer KEY` does the same.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SessionIn {
    key: String,
}

/// Who the caller is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Session)]
pub(super) struct SessionOut {
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
            Some(session) => table::session::expires_at(app.database.pool(), session.sha256()).await?,
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

/// The session that a request was let in with.
fn of_request(app: &App, headers: &HeaderMap) -> Option<Session> {
    if headers.contains_key(header::AUTHORIZATION) {
        return None;
    }
    SessionCookie::of(headers, app.cookie).and_then(|SessionCookie(token)| Session::parse(token))
}

//! What every request passes before its handler: is it for us, does it come from a page of ours, and who sends it.
//!
//! [`admit`] stands before every route and asks nothing of the database. [`authenticate`] stands before every route but
//! the public ones and leaves the [`Caller`] with the request, so that a handler cannot forget it; what is left to the
//! handler is to say which scope it needs. [`protect`] adds to every answer what keeps browsers from making more of it.

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::Response;

use super::App;
use super::answer::problem::{Code, Problem};
use super::gate::Entrance;
use super::request::credentials::{SessionCookie, bearer};
use crate::access::{AccessError, Caller, Credentials, Proof, ScopeTooNarrow};

pub(super) const CSRF_TOKEN: HeaderName = HeaderName::from_static("x-csrf-token");

const PROTECTION: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (header::CACHE_CONTROL, "no-store"),
];

/// Refuses what is meant for another host or comes from a page of another origin.
pub(super) async fn admit(State(app): State<App>, request: Request, next: Next) -> Result<Response, Problem> {
    if let Entrance::Guarded(gate) = &app.entrance {
        gate.check(&request)?;
    }
    Ok(next.run(request).await)
}

/// Finds out who sends the request and leaves the [`Caller`] with it.
pub(super) async fn authenticate(
    State(app): State<App>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let caller = identify(&app, request.method(), request.headers()).await?;
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

/// A key goes before a cookie: it was sent on purpose.
async fn identify(app: &App, method: &Method, headers: &HeaderMap) -> Result<Caller, AccessError> {
    if let Some(authorization) = headers.get(header::AUTHORIZATION) {
        return app.access.identify(Credentials::Key(bearer(authorization))).await;
    }
    let Some(SessionCookie(token)) = SessionCookie::of(headers, app.cookie) else {
        return app.access.identify(Credentials::Nothing).await;
    };
    let proof = match method.is_safe() {
        true => Proof::NotNeeded,
        false => Proof::Token(headers.get(CSRF_TOKEN).and_then(|token| token.to_str().ok())),
    };
    app.access.identify(Credentials::Session { token, proof }).await
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| Problem::internal(format!("{} is not behind the guard", parts.uri.path())))
    }
}

/// Whether a request to a public route would be let in elsewhere; for what is not for every stranger.
pub(super) async fn is_let_in(app: &App, headers: &HeaderMap) -> bool {
    identify(app, &Method::GET, headers).await.is_ok()
}

impl From<AccessError> for Problem {
    fn from(error: AccessError) -> Self {
        let challenge = |challenge: &'static str| (header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        match error {
            AccessError::NothingShown => {
                let (name, value) = challenge("Bearer realm=\"secateur\"");
                Self::new(Code::Unauthenticated, "A key is needed, and the request has none.")
                    .hint("Send `Authorization: Bearer KEY`, with a key that `secateur key create` made.")
                    .header(name, value)
            }
            AccessError::NotInForce => {
                let (name, value) = challenge("Bearer realm=\"secateur\", error=\"invalid_token\"");
                Self::new(Code::Unauthenticated, "The key or session is unknown, revoked or expired.")
                    .hint("Run `secateur key list`, which shows the keys that there are.")
                    .header(name, value)
            }
            AccessError::WithoutProof => {
                let detail =
                    "`X-CSRF-Token` is missing or wrong: with a session's cookie, what changes something needs it.";
                Self::new(Code::CsrfTokenNeeded, detail).hint("Take the token from GET /v1/session.")
            }
            AccessError::Database(error) => error.into(),
        }
    }
}

impl From<ScopeTooNarrow> for Problem {
    fn from(error: ScopeTooNarrow) -> Self {
        let challenge = format!("Bearer realm=\"secateur\", error=\"insufficient_scope\", scope=\"{}\"", error.needed);
        let challenge = HeaderValue::from_str(&challenge).expect("scopes are ASCII");
        Self::new(Code::InsufficientScope, format!("{error}."))
            .hint(format!("Make a key that may with `secateur key create --scope {}`.", error.needed))
            .header(header::WWW_AUTHENTICATE, challenge)
    }
}

/// Adds the headers that keep browsers from making more of an answer than it is.
pub(super) async fn protect(mut response: Response) -> Response {
    for (name, value) in PROTECTION {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

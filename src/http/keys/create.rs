//! `POST /v1/keys`

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};

use super::{KeyIn, NewKeyOut};
use crate::access::key::{self, KeyName, Lifetime, NewKey};
use crate::access::{Caller, Scope};
use crate::http::App;
use crate::http::answer::Created;
use crate::http::answer::problem::{Code, Problem, ProblemDocument};
use crate::http::request::body::{parse_json, read_body};

/// Make a key of the administrator's own tenant. The answer has its secret, which is not to be had again.
#[utoipa::path(post, path = "/v1/keys", operation_id = "create_key", tag = "access",
    request_body = KeyIn,
    responses(
        (status = 201, body = NewKeyOut, headers(("location" = String))),
        (status = "4XX", body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    request: Request,
) -> Result<Created<NewKeyOut>, Problem> {
    caller.require(Scope::Admin)?;
    let KeyIn { name, scope, expires_in_days } = parse_json(&read_body(request.into_body()).await?)?;
    let invalid = |field: &str, error: String| Problem::new(Code::InvalidParameter, format!("`{field}`: {error}."));
    let name: KeyName = name.parse().map_err(|error| invalid("name", format!("{error}")))?;
    let lifetime = expires_in_days.map(|days| days.to_string().parse::<Lifetime>()).transpose();
    let lifetime = lifetime.map_err(|error| invalid("expires_in_days", format!("{error}")))?;
    let new = NewKey { name, tenant: caller.tenant, scope, lifetime };
    let (key, secret) = key::create(&app.database, &new).await?;
    tracing::info!(key = %key.id, scope = %key.scope, tenant = %key.tenant, "key made");
    let location = (header::LOCATION, format!("/v1/keys/{}", key.id));
    let body = NewKeyOut { key: key.into(), secret: secret.reveal().to_owned() };
    Ok((StatusCode::CREATED, [location], Json(body)))
}

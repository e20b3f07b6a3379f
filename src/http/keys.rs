//! `/v1/keys`: an administrator makes, lists and revokes the keys of their own tenant.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderName, StatusCode, header};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::App;
use super::problem::{Code, Problem, ProblemDocument};
use super::request::{Own, Parameters, parse_json, read_body};
use crate::access::key::{self, KeyName, Lifetime, NewKey};
use crate::access::{Caller, Scope};
use crate::id::KeyId;
use crate::table::api_key::{self, ApiKey};

/// A key that is to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyIn {
    /// What people call it, 1 to 100 characters.
    name: String,
    #[serde(default)]
    scope: Scope,
    /// How long it is good for; for ever when it is not given.
    #[schema(minimum = 1, maximum = 3650)]
    expires_in_days: Option<u32>,
}

/// A key, without its secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Key)]
pub struct KeyOut {
    #[schema(value_type = String, example = "key_0198c2f4a7b17c3e8d21f00dcafe1234")]
    id: KeyId,
    name: String,
    tenant: String,
    scope: Scope,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    /// To the minute.
    #[serde(with = "time::serde::rfc3339::option")]
    last_used_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    expires_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    revoked_at: Option<OffsetDateTime>,
}

/// A new key, with its secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NewKey)]
pub struct NewKeyOut {
    #[serde(flatten)]
    key: KeyOut,
    /// What goes behind `Authorization: Bearer`. It is shown this once.
    secret: String,
}

/// A page of keys, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeyPage {
    items: Vec<KeyOut>,
    /// `after` of the next page; `null` on the last one.
    #[schema(value_type = Option<String>)]
    next: Option<KeyId>,
}

impl From<ApiKey> for KeyOut {
    fn from(key: ApiKey) -> Self {
        let ApiKey { id, name, tenant, scope, created_at, last_used_at, expires_at, revoked_at } = key;
        Self { id, name, tenant: tenant.to_string(), scope, created_at, last_used_at, expires_at, revoked_at }
    }
}

/// Make a key of the administrator's own tenant. The answer has its secret, which is not to be had again.
#[utoipa::path(post, path = "/v1/keys", tag = "access",
    request_body = KeyIn,
    responses(
        (status = 201, body = NewKeyOut, headers(("location" = String))),
        (status = "4XX", body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub async fn create(
    State(app): State<App>,
    caller: Caller,
    request: Request,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<NewKeyOut>), Problem> {
    caller.require(Scope::Admin)?;
    let KeyIn { name, scope, expires_in_days } = parse_json(&read_body(request.into_body()).await?)?;
    let invalid = |field: &str, error: String| Problem::new(Code::InvalidParameter, format!("`{field}`: {error}."));
    let name: KeyName = name.parse().map_err(|error| invalid("name", format!("{error}")))?;
    let lifetime = expires_in_days.map(|days| days.to_string().parse::<Lifetime>()).transpose();
    let lifetime = lifetime.map_err(|error| invalid("expires_in_days", format!("{error}")))?;
    let new = NewKey { name, tenant: caller.tenant, scope, lifetime };
    let (key, secret) = key::create(app.queue.database(), &new).await?;
    tracing::info!(key = %key.id, scope = %key.scope, tenant = %key.tenant, "key made");
    let location = (header::LOCATION, format!("/v1/keys/{}", key.id));
    let body = NewKeyOut { key: key.into(), secret: secret.reveal().to_owned() };
    Ok((StatusCode::CREATED, [location], Json(body)))
}

/// Keys of the administrator's own tenant, newest first, revoked ones too.
#[utoipa::path(get, path = "/v1/keys", tag = "access",
    params(
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 200, description = "Items of a page, 50 by default"),
        ("after" = Option<String>, Query, description = "`next` of the page before"),
    ),
    responses(
        (status = 200, body = KeyPage),
        (status = "4XX", body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub async fn list(State(app): State<App>, caller: Caller, parameters: Parameters) -> Result<Json<KeyPage>, Problem> {
    caller.require(Scope::Admin)?;
    let limit = parameters.limit()?;
    let pool = app.queue.database().pool();
    let mut keys = api_key::list(pool, Some(&caller.tenant), parameters.after()?, limit + 1).await?;
    let next = (keys.len() > limit as usize).then(|| keys[limit as usize - 1].id);
    keys.truncate(limit as usize);
    Ok(Json(KeyPage { items: keys.into_iter().map(KeyOut::from).collect(), next }))
}

/// Revoke a key, and end its sessions: the next request with it is refused.
#[utoipa::path(delete, path = "/v1/keys/{id}", tag = "access",
    params(("id" = String, Path)),
    responses(
        (status = 204, description = "It is revoked"),
        (status = "4XX", body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub async fn revoke(State(app): State<App>, caller: Caller, Own(id): Own<KeyId>) -> Result<StatusCode, Problem> {
    caller.require(Scope::Admin)?;
    api_key::revoke(app.queue.database().pool(), id).await?;
    tracing::info!(key = %id, "key revoked");
    Ok(StatusCode::NO_CONTENT)
}

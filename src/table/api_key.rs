//! `api_key`: the keys of the API, by the digests of their secrets.

use sqlx::PgExecutor;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::access::key::NewKey;
use crate::access::{Scope, Tenant};
use crate::database::DatabaseError;
use crate::digest::Sha256;
use crate::id::KeyId;

/// A row.
#[derive(Debug, Clone)]
pub struct ApiKey {
    pub id: KeyId,
    pub name: String,
    pub tenant: Tenant,
    pub scope: Scope,
    pub created_at: OffsetDateTime,
    /// To the minute.
    pub last_used_at: Option<OffsetDateTime>,
    pub expires_at: Option<OffsetDateTime>,
    pub revoked_at: Option<OffsetDateTime>,
}

/// What is asked of a key at every request.
#[derive(Debug, Clone)]
pub struct InForce {
    pub id: KeyId,
    pub tenant: Tenant,
    pub scope: Scope,
    /// Whether `last_used_at` is less than a minute old.
    pub use_is_noted: bool,
}

struct RawApiKey {
    id: Uuid,
    name: String,
    tenant: String,
    scope: String,
    created_at: OffsetDateTime,
    last_used_at: Option<OffsetDateTime>,
    expires_at: Option<OffsetDateTime>,
    revoked_at: Option<OffsetDateTime>,
}

pub(super) struct RawInForce {
    pub(super) id: Uuid,
    pub(super) tenant: String,
    pub(super) scope: String,
    pub(super) use_is_noted: bool,
}

impl TryFrom<RawApiKey> for ApiKey {
    type Error = DatabaseError;

    fn try_from(raw: RawApiKey) -> Result<Self, DatabaseError> {
        Ok(Self {
            id: raw.id.into(),
            name: raw.name,
            tenant: raw.tenant.parse().map_err(unreadable)?,
            scope: raw.scope.parse().map_err(unreadable)?,
            created_at: raw.created_at,
            last_used_at: raw.last_used_at,
            expires_at: raw.expires_at,
            revoked_at: raw.revoked_at,
        })
    }
}

impl TryFrom<RawInForce> for InForce {
    type Error = DatabaseError;

    fn try_from(raw: RawInForce) -> Result<Self, DatabaseError> {
        Ok(Self {
            id: raw.id.into(),
            tenant: raw.tenant.parse().map_err(unreadable)?,
            scope: raw.scope.parse().map_err(unreadable)?,
            use_is_noted: raw.use_is_noted,
        })
    }
}

fn unreadable(error: impl ToString) -> DatabaseError {
    DatabaseError::unreadable("api_key", error)
}

pub async fn insert(
    executor: impl PgExecutor<'_>,
    new: &NewKey,
    sha256: Sha256,
    expires_at: Option<OffsetDateTime>,
) -> Result<ApiKey, DatabaseError> {
    let raw = sqlx::query_as!(
        RawApiKey,
        "insert into api_key (id, name, tenant, scope, sha256, expires_at) values ($1, $2, $3, $4, $5, $6)
         returning id, name, tenant, scope, created_at, last_used_at, expires_at, revoked_at",
        KeyId::generate().uuid(),
        new.name.as_str(),
        new.tenant.as_str(),
        new.scope.as_str(),
        sha256.to_string(),
        expires_at
    )
    .fetch_one(executor)
    .await?;
    raw.try_into()
}

/// The key with a digest, unless it is revoked or has expired.
pub async fn find_in_force(executor: impl PgExecutor<'_>, sha256: Sha256) -> Result<Option<InForce>, DatabaseError> {
    let raw = sqlx::query_as!(
        RawInForce,
        "select id, tenant, scope, coalesce(last_used_at > now() - interval '1 minute', false) as \"use_is_noted!\"
         from api_key where sha256 = $1 and revoked_at is null and (expires_at is null or expires_at > now())",
        sha256.to_string()
    )
    .fetch_optional(executor)
    .await?;
    raw.map(InForce::try_from).transpose()
}

pub async fn is_in_force(executor: impl PgExecutor<'_>, id: KeyId) -> Result<bool, DatabaseError> {
    let in_force = sqlx::query_scalar!(
        "select exists (select 1 from api_key
         where id = $1 and revoked_at is null and (expires_at is null or expires_at > now())) as \"in_force!\"",
        id.uuid()
    )
    .fetch_one(executor)
    .await?;
    Ok(in_force)
}

pub async fn is_any_not_revoked(executor: impl PgExecutor<'_>) -> Result<bool, DatabaseError> {
    let any = sqlx::query_scalar!("select exists (select 1 from api_key where revoked_at is null) as \"any!\"")
        .fetch_one(executor)
        .await?;
    Ok(any)
}

/// Notes that a key was used, unless that was noted within the last minute.
pub async fn note_use(executor: impl PgExecutor<'_>, id: KeyId) -> Result<(), DatabaseError> {
    sqlx::query!(
        "update api_key set last_used_at = now()
         where id = $1 and (last_used_at is null or last_used_at <= now() - interval '1 minute')",
        id.uuid()
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Keys newest first, older than `before`: of one tenant, or of all of them.
pub async fn list(
    executor: impl PgExecutor<'_>,
    tenant: Option<&Tenant>,
    before: Option<KeyId>,
    limit: i64,
) -> Result<Vec<ApiKey>, DatabaseError> {
    let rows = sqlx::query_as!(
        RawApiKey,
        "select id, name, tenant, scope, created_at, last_used_at, expires_at, revoked_at from api_key
         where ($1::text is null or tenant = $1) and ($2::uuid is null or id < $2) order by id desc limit $3",
        tenant.map(Tenant::as_str),
        before.map(KeyId::uuid),
        limit
    )
    .fetch_all(executor)
    .await?;
    rows.into_iter().map(ApiKey::try_from).collect()
}

/// Whether there is such a key of this tenant.
pub async fn belongs_to(executor: impl PgExecutor<'_>, id: KeyId, tenant: &Tenant) -> Result<bool, DatabaseError> {
    let belongs = sqlx::query_scalar!(
        "select exists (select 1 from api_key where id = $1 and tenant = $2) as \"belongs!\"",
        id.uuid(),
        tenant.as_str()
    )
    .fetch_one(executor)
    .await?;
    Ok(belongs)
}

/// Revokes a key for good; `false` when there is none. One that is revoked already stays as it was.
pub async fn revoke(executor: impl PgExecutor<'_>, id: KeyId) -> Result<bool, DatabaseError> {
    let revoked = sqlx::query!("update api_key set revoked_at = coalesce(revoked_at, now()) where id = $1", id.uuid())
        .execute(executor)
        .await?;
    Ok(revoked.rows_affected() == 1)
}

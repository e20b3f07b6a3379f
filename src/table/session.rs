//! `session`: browsers that have shown a key, by the digests of their cookies.

use std::time::Duration;

use sqlx::PgExecutor;
use time::OffsetDateTime;

use super::api_key::{InForce, RawInForce};
use crate::database::DatabaseError;
use crate::digest::Sha256;
use crate::id::KeyId;

/// Inserts a session; it lives on the database's clock.
pub async fn insert(
    executor: impl PgExecutor<'_>,
    sha256: Sha256,
    key: KeyId,
    lifetime: Duration,
) -> Result<(), DatabaseError> {
    sqlx::query!(
        "insert into session (sha256, key_id, expires_at) values ($1, $2, now() + make_interval(secs => $3))",
        sha256.to_string(),
        key.uuid(),
        lifetime.as_secs_f64()
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// The key of a session, unless either has ended.
pub async fn find_key_in_force(
    executor: impl PgExecutor<'_>,
    sha256: Sha256,
) -> Result<Option<InForce>, DatabaseError> {
    let raw = sqlx::query_as!(
        RawInForce,
        "select id, tenant, scope, coalesce(last_used_at > now() - interval '1 minute', false) as \"use_is_noted!\"
         from session join api_key on api_key.id = session.key_id
         where session.sha256 = $1 and session.expires_at > now()
           and revoked_at is null and (api_key.expires_at is null or api_key.expires_at > now())",
        sha256.to_string()
    )
    .fetch_optional(executor)
    .await?;
    raw.map(InForce::try_from).transpose()
}

pub async fn expires_at(
    executor: impl PgExecutor<'_>,
    sha256: Sha256,
) -> Result<Option<OffsetDateTime>, DatabaseError> {
    let expires_at = sqlx::query_scalar!("select expires_at from session where sha256 = $1", sha256.to_string())
        .fetch_optional(executor)
        .await?;
    Ok(expires_at)
}

pub async fn delete(executor: impl PgExecutor<'_>, sha256: Sha256) -> Result<(), DatabaseError> {
    sqlx::query!("delete from session where sha256 = $1", sha256.to_string()).execute(executor).await?;
    Ok(())
}

pub async fn delete_expired(executor: impl PgExecutor<'_>) -> Result<(), DatabaseError> {
    sqlx::query!("delete from session where expires_at <= now()").execute(executor).await?;
    Ok(())
}

//! `webhook_secret`: what the deliveries of a tenant are signed with.

use std::time::Duration;

use sqlx::PgExecutor;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::access::Tenant;
use crate::database::DatabaseError;
use crate::id::WebhookSecretId;
use crate::webhook::SigningSecret;

/// A row, without the secret.
#[derive(Debug, Clone)]
pub struct WebhookSecret {
    pub id: WebhookSecretId,
    pub tenant: Tenant,
    /// Whether somebody was given it.
    pub was_shown: bool,
    pub created_at: OffsetDateTime,
    /// From when on it signs nothing.
    pub retires_at: Option<OffsetDateTime>,
}

struct RawWebhookSecret {
    id: Uuid,
    tenant: String,
    was_shown: bool,
    created_at: OffsetDateTime,
    retires_at: Option<OffsetDateTime>,
}

impl TryFrom<RawWebhookSecret> for WebhookSecret {
    type Error = DatabaseError;

    fn try_from(raw: RawWebhookSecret) -> Result<Self, DatabaseError> {
        let tenant = raw.tenant.parse().map_err(|error| DatabaseError::unreadable("webhook_secret", error))?;
        let RawWebhookSecret { id, was_shown, created_at, retires_at, .. } = raw;
        Ok(Self { id: id.into(), tenant, was_shown, created_at, retires_at })
    }
}

/// Inserts a secret that its owner is given.
pub async fn insert_shown(
    executor: impl PgExecutor<'_>,
    tenant: &Tenant,
    secret: &SigningSecret,
) -> Result<WebhookSecret, DatabaseError> {
    let raw = sqlx::query_as!(
        RawWebhookSecret,
        "insert into webhook_secret (id, tenant, secret, was_shown) values ($1, $2, $3, true)
         returning id, tenant, was_shown, created_at, retires_at",
        WebhookSecretId::generate().uuid(),
        tenant.as_str(),
        secret.reveal()
    )
    .fetch_one(executor)
    .await?;
    raw.try_into()
}

/// Inserts a secret that nobody is given, unless the tenant has one of that kind.
pub async fn insert_unshown(
    executor: impl PgExecutor<'_>,
    tenant: &Tenant,
    secret: &SigningSecret,
) -> Result<(), DatabaseError> {
    sqlx::query!(
        "insert into webhook_secret (id, tenant, secret, was_shown) values ($1, $2, $3, false) on conflict do nothing",
        WebhookSecretId::generate().uuid(),
        tenant.as_str(),
        secret.reveal()
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// The secrets that sign a tenant's deliveries now, newest first.
pub async fn in_force(executor: impl PgExecutor<'_>, tenant: &Tenant) -> Result<Vec<SigningSecret>, DatabaseError> {
    let secrets = sqlx::query_scalar!(
        "select secret from webhook_secret
         where tenant = $1 and (retires_at is null or retires_at > clock_timestamp()) order by id desc",
        tenant.as_str()
    )
    .fetch_all(executor)
    .await?;
    secrets
        .into_iter()
        .map(|secret| {
            SigningSecret::parse(&secret).ok_or_else(|| DatabaseError::unreadable("webhook_secret", "no secret"))
        })
        .collect()
}

/// The secrets in force, newest first: of one tenant, or of all of them by their names.
pub async fn list(executor: impl PgExecutor<'_>, tenant: Option<&Tenant>) -> Result<Vec<WebhookSecret>, DatabaseError> {
    let rows = sqlx::query_as!(
        RawWebhookSecret,
        "select id, tenant, was_shown, created_at, retires_at from webhook_secret
         where ($1::text is null or tenant = $1) and (retires_at is null or retires_at > clock_timestamp())
         order by tenant, id desc",
        tenant.map(Tenant::as_str)
    )
    .fetch_all(executor)
    .await?;
    rows.into_iter().map(WebhookSecret::try_from).collect()
}

/// Lets the secrets of a tenant sign for so much longer at most.
pub async fn retire_all(executor: impl PgExecutor<'_>, tenant: &Tenant, grace: Duration) -> Result<(), DatabaseError> {
    sqlx::query!(
        "update webhook_secret set retires_at = least(retires_at, clock_timestamp() + make_interval(secs => $2))
         where tenant = $1",
        tenant.as_str(),
        grace.as_secs_f64()
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Deletes the secret of a tenant that nobody was given.
pub async fn delete_unshown(executor: impl PgExecutor<'_>, tenant: &Tenant) -> Result<(), DatabaseError> {
    sqlx::query!("delete from webhook_secret where tenant = $1 and not was_shown", tenant.as_str())
        .execute(executor)
        .await?;
    Ok(())
}

/// Deletes the secrets that sign nothing any more.
pub async fn delete_retired(executor: impl PgExecutor<'_>) -> Result<(), DatabaseError> {
    sqlx::query!("delete from webhook_secret where retires_at <= clock_timestamp()").execute(executor).await?;
    Ok(())
}

/// Whether there is such a secret of this tenant.
pub async fn belongs_to(
    executor: impl PgExecutor<'_>,
    id: WebhookSecretId,
    tenant: &Tenant,
) -> Result<bool, DatabaseError> {
    let belongs = sqlx::query_scalar!(
        "select exists (select 1 from webhook_secret where id = $1 and tenant = $2) as \"belongs!\"",
        id.uuid(),
        tenant.as_str()
    )
    .fetch_one(executor)
    .await?;
    Ok(belongs)
}

/// Deletes a secret: it signs nothing any more; `false` when there is none.
pub async fn delete(executor: impl PgExecutor<'_>, id: WebhookSecretId) -> Result<bool, DatabaseError> {
    let deleted = sqlx::query!("delete from webhook_secret where id = $1", id.uuid()).execute(executor).await?;
    Ok(deleted.rows_affected() == 1)
}

//! `expired_job`: jobs that were deleted since they had ended long ago, so that whoever asks is told that and not that there is none.

use sqlx::PgExecutor;
use time::OffsetDateTime;

use crate::access::Tenant;
use crate::database::DatabaseError;
use crate::id::JobId;

/// Writes a job down that is about to be deleted.
pub async fn insert(executor: impl PgExecutor<'_>, id: JobId) -> Result<(), DatabaseError> {
    sqlx::query!(
        "insert into expired_job (id, tenant) select id, tenant from job where id = $1 on conflict do nothing",
        id.uuid()
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// When a job of this tenant went.
pub async fn find(
    executor: impl PgExecutor<'_>,
    id: JobId,
    tenant: &Tenant,
) -> Result<Option<OffsetDateTime>, DatabaseError> {
    let at =
        sqlx::query_scalar!("select at from expired_job where id = $1 and tenant = $2", id.uuid(), tenant.as_str())
            .fetch_optional(executor)
            .await?;
    Ok(at)
}

/// Forgets those that went long ago.
pub async fn delete_old(executor: impl PgExecutor<'_>) -> Result<(), DatabaseError> {
    sqlx::query!("delete from expired_job where at < clock_timestamp() - interval '90 days'").execute(executor).await?;
    Ok(())
}

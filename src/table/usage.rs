//! What a tenant has, over all tables: for quotas.

use sqlx::PgExecutor;

use crate::access::Tenant;
use crate::database::DatabaseError;

/// Lets one transaction at a time add to what a tenant has; ends with the transaction.
pub async fn lock(executor: impl PgExecutor<'_>, tenant: &Tenant) -> Result<(), DatabaseError> {
    sqlx::query!("select pg_advisory_xact_lock(hashtextextended('usage of ' || $1, 0))", tenant.as_str())
        .execute(executor)
        .await?;
    Ok(())
}

/// Jobs that have not ended.
pub async fn open_jobs(executor: impl PgExecutor<'_>, tenant: &Tenant) -> Result<u64, DatabaseError> {
    let count = sqlx::query_scalar!(
        "select count(*) as \"count!\" from job where tenant = $1 and kind = 'prune' and status in ('queued', 'running')",
        tenant.as_str()
    )
    .fetch_one(executor)
    .await?;
    Ok(count as u64)
}

/// Bytes of models, data sets and artifacts, and of what was prepared of data sets as long as an unfinished job needs it: what is kept
/// beyond that is the operator's choice.
pub async fn stored_bytes(executor: impl PgExecutor<'_>, tenant: &Tenant) -> Result<u64, DatabaseError> {
    let bytes = sqlx::query_scalar!(
        "select (
             (select coalesce(sum(bytes), 0) from model where tenant = $1 and deleted_at is null)
             + (select coalesce(sum(bytes), 0) from dataset where tenant = $1 and deleted_at is null)
             + (select coalesce(sum(artifact.bytes), 0) from artifact join job on job.id = job_id where job.tenant = $1)
             + (select coalesce(sum(bytes), 0) from prepared where blob in (
                    select task.prepared from task join job on job.id = task.job_id
                    where job.tenant = $1 and job.finished_at is null and task.prepared is not null
                ))
         )::bigint as \"bytes!\"",
        tenant.as_str()
    )
    .fetch_one(executor)
    .await?;
    Ok(bytes as u64)
}

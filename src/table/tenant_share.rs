//! `tenant_share`: what the tasks of a tenant took of the workers lately, of which half is forgotten in an hour. A claim reads it.

use sqlx::PgExecutor;

use crate::access::Tenant;
use crate::database::DatabaseError;

/// Adds the seconds of an attempt that has ended.
pub async fn add(executor: impl PgExecutor<'_>, tenant: &Tenant, seconds: f64) -> Result<(), DatabaseError> {
    sqlx::query!(
        "insert into tenant_share (tenant, seconds, at) values ($1, $2, clock_timestamp())
         on conflict (tenant) do update
         set at = excluded.at,
             seconds = excluded.seconds
                       + tenant_share.seconds * power(0.5, extract(epoch from excluded.at - tenant_share.at)::float8 / 3600)",
        tenant.as_str(),
        seconds
    )
    .execute(executor)
    .await?;
    Ok(())
}

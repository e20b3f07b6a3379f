//! No table: what the database server says of itself.

use sqlx::PgExecutor;
use time::OffsetDateTime;

use crate::database::DatabaseError;

/// What the database server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// `18.1`
    pub version: String,
    /// 180001
    pub version_number: i32,
    /// Its clock.
    pub now: OffsetDateTime,
}

pub async fn standing(executor: impl PgExecutor<'_>) -> Result<Standing, DatabaseError> {
    let row = sqlx::query!(
        r#"select current_setting('server_version') as "version!", current_setting('server_version_num')::int as "number!",
                  clock_timestamp() as "now!""#
    )
    .fetch_one(executor)
    .await?;
    Ok(Standing { version: row.version, version_number: row.number, now: row.now })
}

/// A name by which others see what the transaction sees, as long as it is open.
pub async fn export_snapshot(executor: impl PgExecutor<'_>) -> Result<String, DatabaseError> {
    Ok(sqlx::query_scalar!(r#"select pg_export_snapshot() as "snapshot!""#).fetch_one(executor).await?)
}

/// Tables that somebody has made.
pub async fn count_tables(executor: impl PgExecutor<'_>) -> Result<i64, DatabaseError> {
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from pg_catalog.pg_tables where schemaname not in ('pg_catalog', 'information_schema')"#
    );
    Ok(count.fetch_one(executor).await?)
}

//! `loose_blob`: blobs to which no row refers, and when they may be freed.

use std::time::Duration;

use sqlx::PgExecutor;

use crate::access::Tenant;
use crate::blob::BlobKey;
use crate::database::DatabaseError;

/// Writes a blob down as one that nobody refers to, to be freed after so much time.
pub async fn insert(executor: impl PgExecutor<'_>, blob: &BlobKey, delay: Duration) -> Result<(), DatabaseError> {
    sqlx::query!(
        "insert into loose_blob (blob, free_after) values ($1, clock_timestamp() + make_interval(secs => $2))
         on conflict (blob) do update set free_after = excluded.free_after",
        blob.as_str(),
        delay.as_secs_f64()
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// How many places in the bucket clients of a tenant have for uploads of their own.
pub async fn count_incoming(executor: impl PgExecutor<'_>, tenant: &Tenant) -> Result<i64, DatabaseError> {
    let begin = BlobKey::incoming_of(tenant);
    let counted =
        sqlx::query_scalar!(r#"select count(*) as "count!" from loose_blob where starts_with(blob, $1)"#, begin);
    Ok(counted.fetch_one(executor).await?)
}

/// Takes a blob out, since a row refers to it from now on or it was freed; `false` when it was not there.
pub async fn remove(executor: impl PgExecutor<'_>, blob: &BlobKey) -> Result<bool, DatabaseError> {
    let removed = sqlx::query!("delete from loose_blob where blob = $1", blob.as_str()).execute(executor).await?;
    Ok(removed.rows_affected() == 1)
}

/// Keeps everybody from freeing blobs as long as the connection stands; waits for what is being freed.
pub async fn hold_all(executor: impl PgExecutor<'_>) -> Result<(), DatabaseError> {
    sqlx::query!("select pg_advisory_lock(hashtextextended('freeing blobs', 0))").execute(executor).await?;
    Ok(())
}

/// Whether nobody holds all blobs; if so, nobody will until the transaction ends.
pub async fn may_be_freed(executor: impl PgExecutor<'_>) -> Result<bool, DatabaseError> {
    let locked = sqlx::query_scalar!(
        r#"select pg_try_advisory_xact_lock_shared(hashtextextended('freeing blobs', 0)) as "locked!""#
    );
    Ok(locked.fetch_one(executor).await?)
}

/// A blob that may be freed, locked until the transaction ends; one that another transaction holds is passed over.
pub async fn claim_due(executor: impl PgExecutor<'_>) -> Result<Option<BlobKey>, DatabaseError> {
    let blob = sqlx::query_scalar!(
        "select blob from loose_blob where free_after <= clock_timestamp() order by free_after limit 1
         for update skip locked"
    )
    .fetch_optional(executor)
    .await?;
    Ok(blob.map(BlobKey::from_row))
}

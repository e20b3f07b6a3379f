//! A comparison of all blobs that a store has with all that rows refer to, in a table that lives as long as its transaction.

use sqlx::PgExecutor;

use crate::blob::BlobKey;
use crate::database::DatabaseError;

/// A blob that a store has.
#[derive(Debug, Clone)]
pub struct FoundBlob {
    pub blob: BlobKey,
    /// Whether it is older than anything that is on its way to a row.
    pub is_settled: bool,
}

/// A row that refers to a blob that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostBlob {
    /// What it was of: `model`, `dataset`, `artifact` or `prepared`.
    pub kind: String,
    pub blob: BlobKey,
}

/// The table of what was found; it goes when the transaction ends.
pub async fn create(executor: impl PgExecutor<'_>) -> Result<(), DatabaseError> {
    sqlx::query(
        "create temporary table found_blob (blob text primary key, is_settled boolean not null) on commit drop",
    )
    .execute(executor)
    .await?;
    Ok(())
}

pub async fn add(executor: impl PgExecutor<'_>, found: &[FoundBlob]) -> Result<(), DatabaseError> {
    let blobs: Vec<&str> = found.iter().map(|found| found.blob.as_str()).collect();
    let settled: Vec<bool> = found.iter().map(|found| found.is_settled).collect();
    sqlx::query("insert into found_blob select * from unnest($1::text[], $2::boolean[]) on conflict do nothing")
        .bind(blobs)
        .bind(settled)
        .execute(executor)
        .await?;
    Ok(())
}

/// Writes down every settled blob to which no row refers as loose; says how many were not.
pub async fn loosen(executor: impl PgExecutor<'_>) -> Result<u64, DatabaseError> {
    let loosened = sqlx::query(
        "insert into loose_blob (blob, free_after)
         select blob, clock_timestamp() from found_blob
         where is_settled
               and not exists (select 1 from blob_reference where blob_reference.blob = found_blob.blob)
         on conflict do nothing",
    )
    .execute(executor)
    .await?;
    Ok(loosened.rows_affected())
}

/// Blobs that rows refer to and that were not found, at most so many; without those that may be missing.
pub async fn missing(executor: impl PgExecutor<'_>, limit: i64) -> Result<Vec<LostBlob>, DatabaseError> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "select kind, blob from blob_reference
         where not may_be_missing
               and not exists (select 1 from found_blob where found_blob.blob = blob_reference.blob)
         order by kind, blob limit $1",
    )
    .bind(limit)
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(|(kind, blob)| LostBlob { kind, blob: BlobKey::from_row(blob) }).collect())
}

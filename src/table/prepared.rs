//! `prepared`: the arrays that jobs have made of data sets, by a fingerprint of all that they depend on beside the data set.
//! A data set belongs to one tenant, so what one tenant has prepared no other one uses.

use secateur_core::dataset::DatasetSummary;
use secateur_core::recovery::SourceReport;
use secateur_core::stage::prepare::EarlierFacts;
use serde_json::Value;
use sqlx::PgExecutor;

use super::to_json;
use crate::blob::BlobKey;
use crate::database::DatabaseError;
use crate::digest::Sha256;
use crate::id::DatasetId;

/// What a later job is given.
#[derive(Debug, Clone, PartialEq)]
pub struct Prepared {
    pub blob: BlobKey,
    pub facts: EarlierFacts,
}

/// Arrays that were stored and are to be recorded.
#[derive(Debug, Clone)]
pub struct NewPrepared {
    pub blob: BlobKey,
    pub dataset: DatasetId,
    pub fingerprint: String,
    pub sha256: Sha256,
    pub bytes: u64,
    pub summary: DatasetSummary,
    pub source: Option<SourceReport>,
}

/// Who may take arrays over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// Every later job that wants the same.
    ToAll,
    /// Nobody but the job that made them.
    ToNone,
}

/// Inserts a row; `false` when there is one already that is offered for the same.
pub async fn insert(executor: impl PgExecutor<'_>, new: &NewPrepared, offer: Offer) -> Result<bool, DatabaseError> {
    let inserted = sqlx::query!(
        "insert into prepared (blob, dataset_id, fingerprint, sha256, bytes, summary, source)
         values ($1, $2, $3, $4, $5, $6, $7) on conflict (dataset_id, fingerprint) do nothing",
        new.blob.as_str(),
        new.dataset.uuid(),
        Some(new.fingerprint.as_str()).filter(|_| offer == Offer::ToAll),
        new.sha256.to_string(),
        new.bytes as i64,
        to_json(&new.summary),
        new.source.as_ref().map(to_json)
    )
    .execute(executor)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// What is offered for a data set, which counts as used now; the row is locked until the transaction ends.
pub async fn take(
    executor: impl PgExecutor<'_>,
    dataset: DatasetId,
    fingerprint: &str,
) -> Result<Option<Prepared>, DatabaseError> {
    let row = sqlx::query!(
        "update prepared set last_used_at = clock_timestamp() where dataset_id = $1 and fingerprint = $2
         returning blob, sha256, summary, source",
        dataset.uuid(),
        fingerprint
    )
    .fetch_optional(executor)
    .await?;
    row.map(|row| {
        let (summary, source) = (parse(row.summary)?, row.source.map(parse).transpose()?);
        Ok(Prepared { blob: BlobKey::from_row(row.blob), facts: EarlierFacts { sha256: row.sha256, summary, source } })
    })
    .transpose()
}

fn parse<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, DatabaseError> {
    serde_json::from_value(value).map_err(|error| DatabaseError::unreadable("prepared", error))
}

/// Offers arrays to nobody any more.
pub async fn withdraw(executor: impl PgExecutor<'_>, blob: &BlobKey) -> Result<(), DatabaseError> {
    sqlx::query!("update prepared set fingerprint = null where blob = $1", blob.as_str()).execute(executor).await?;
    Ok(())
}

/// Locks what is to go next and gives its blob: of what no unfinished job needs, first what is offered to nobody, then, while all together
/// take more than `most_bytes`, what was not used for the longest time. What another transaction holds is passed over.
pub async fn claim_superfluous(
    executor: impl PgExecutor<'_>,
    most_bytes: u64,
) -> Result<Option<BlobKey>, DatabaseError> {
    let blob = sqlx::query_scalar!(
        "select blob from prepared
         where (fingerprint is null or (select sum(bytes) from prepared) > $1::bigint) and not exists (
             select from task join job on job.id = task.job_id
             where task.prepared = prepared.blob and job.finished_at is null
         )
         order by fingerprint is not null, last_used_at limit 1 for update of prepared skip locked",
        i64::try_from(most_bytes).unwrap_or(i64::MAX)
    )
    .fetch_optional(executor)
    .await?;
    Ok(blob.map(BlobKey::from_row))
}

/// Deletes a row that no unfinished job needs; `false` when one does, which may have come between the look and the lock.
pub async fn delete_unneeded(executor: impl PgExecutor<'_>, blob: &BlobKey) -> Result<bool, DatabaseError> {
    let deleted = sqlx::query!(
        "delete from prepared where blob = $1 and not exists (
             select from task join job on job.id = task.job_id
             where task.prepared = prepared.blob and job.finished_at is null
         )",
        blob.as_str()
    )
    .execute(executor)
    .await?;
    Ok(deleted.rows_affected() == 1)
}

/// Deletes all that was prepared of a data set and gives the blobs.
pub async fn delete_of_dataset(
    executor: impl PgExecutor<'_>,
    dataset: DatasetId,
) -> Result<Vec<BlobKey>, DatabaseError> {
    let blobs = sqlx::query_scalar!("delete from prepared where dataset_id = $1 returning blob", dataset.uuid())
        .fetch_all(executor)
        .await?;
    Ok(blobs.into_iter().map(BlobKey::from_row).collect())
}

//! `dataset`: uploaded data sets, one row per content and tenant.

use std::time::Duration;

use secateur_core::dataset::DatasetSummary;
use sqlx::PgExecutor;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{NewUpload, to_json};
use crate::access::Tenant;
use crate::blob::BlobKey;
use crate::database::DatabaseError;
use crate::digest::Sha256;
use crate::id::DatasetId;

/// A row.
#[derive(Debug, Clone)]
pub struct Dataset {
    pub id: DatasetId,
    pub name: Option<String>,
    pub sha256: Sha256,
    pub bytes: u64,
    pub blob: BlobKey,
    /// Arrays, shapes and splits, from the file's headers.
    pub summary: DatasetSummary,
    pub created_at: OffsetDateTime,
}

struct RawDataset {
    id: Uuid,
    name: Option<String>,
    sha256: String,
    bytes: i64,
    blob: String,
    summary: serde_json::Value,
    created_at: OffsetDateTime,
}

impl TryFrom<RawDataset> for Dataset {
    type Error = DatabaseError;

    fn try_from(raw: RawDataset) -> Result<Self, DatabaseError> {
        let unreadable = |detail: String| DatabaseError::unreadable("dataset", detail);
        Ok(Self {
            id: raw.id.into(),
            name: raw.name,
            sha256: raw.sha256.try_into().map_err(unreadable)?,
            bytes: raw.bytes as u64,
            blob: BlobKey::from_row(raw.blob),
            summary: serde_json::from_value(raw.summary).map_err(|error| unreadable(error.to_string()))?,
            created_at: raw.created_at,
        })
    }
}

/// Inserts a data set unless the tenant has its content already; says whether it did.
pub async fn insert(
    executor: impl PgExecutor<'_>,
    new: &NewUpload<'_, DatasetId>,
    summary: &DatasetSummary,
) -> Result<bool, DatabaseError> {
    let inserted = sqlx::query!(
        "insert into dataset (id, tenant, name, sha256, bytes, blob, summary) values ($1, $2, $3, $4, $5, $6, $7)
         on conflict (tenant, sha256) where deleted_at is null do nothing",
        new.id.uuid(),
        new.tenant.as_str(),
        new.name,
        new.sha256.to_string(),
        new.bytes as i64,
        new.blob.as_str(),
        to_json(summary)
    )
    .execute(executor)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

pub async fn find(executor: impl PgExecutor<'_>, id: DatasetId) -> Result<Option<Dataset>, DatabaseError> {
    let raw = sqlx::query_as!(
        RawDataset,
        "select id, name, sha256, bytes, blob, summary, created_at from dataset
         where id = $1 and deleted_at is null",
        id.uuid()
    )
    .fetch_optional(executor)
    .await?;
    raw.map(Dataset::try_from).transpose()
}

/// Whether there is such a data set of this tenant.
pub async fn belongs_to(executor: impl PgExecutor<'_>, id: DatasetId, tenant: &Tenant) -> Result<bool, DatabaseError> {
    let belongs = sqlx::query_scalar!(
        "select exists (select 1 from dataset where id = $1 and tenant = $2 and deleted_at is null) as \"belongs!\"",
        id.uuid(),
        tenant.as_str()
    )
    .fetch_one(executor)
    .await?;
    Ok(belongs)
}

pub async fn find_by_sha256(
    executor: impl PgExecutor<'_>,
    tenant: &Tenant,
    sha256: Sha256,
) -> Result<Option<Dataset>, DatabaseError> {
    let raw = sqlx::query_as!(
        RawDataset,
        "select id, name, sha256, bytes, blob, summary, created_at from dataset
         where tenant = $1 and sha256 = $2 and deleted_at is null",
        tenant.as_str(),
        sha256.to_string()
    )
    .fetch_optional(executor)
    .await?;
    raw.map(Dataset::try_from).transpose()
}

/// Data sets of a tenant newest first, older than `before`.
pub async fn list(
    executor: impl PgExecutor<'_>,
    tenant: &Tenant,
    before: Option<DatasetId>,
    limit: i64,
) -> Result<Vec<Dataset>, DatabaseError> {
    let rows = sqlx::query_as!(
        RawDataset,
        "select id, name, sha256, bytes, blob, summary, created_at from dataset
         where tenant = $1 and deleted_at is null and ($2::uuid is null or id < $2) order by id desc limit $3",
        tenant.as_str(),
        before.map(DatasetId::uuid),
        limit
    )
    .fetch_all(executor)
    .await?;
    rows.into_iter().map(Dataset::try_from).collect()
}

/// Keeps a data set from being deleted until the transaction ends; `false` when it is gone already.
pub async fn hold(executor: impl PgExecutor<'_>, id: DatasetId) -> Result<bool, DatabaseError> {
    let held =
        sqlx::query_scalar!("select id from dataset where id = $1 and deleted_at is null for key share", id.uuid())
            .fetch_optional(executor)
            .await?;
    Ok(held.is_some())
}

/// Says that somebody has uploaded it again.
pub async fn set_uploaded(executor: impl PgExecutor<'_>, id: DatasetId) -> Result<(), DatabaseError> {
    sqlx::query!("update dataset set uploaded_at = clock_timestamp() where id = $1", id.uuid())
        .execute(executor)
        .await?;
    Ok(())
}

/// Locks a data set that is to go and gives its blob; `None` when it is gone, or was uploaded again within `unused_for`.
pub async fn lock(
    executor: impl PgExecutor<'_>,
    id: DatasetId,
    unused_for: Duration,
) -> Result<Option<BlobKey>, DatabaseError> {
    let blob = sqlx::query_scalar!(
        "select blob from dataset
         where id = $1 and deleted_at is null and uploaded_at <= clock_timestamp() - make_interval(secs => $2)
         for update",
        id.uuid(),
        unused_for.as_secs_f64()
    )
    .fetch_optional(executor)
    .await?;
    Ok(blob.map(BlobKey::from_row))
}

/// Makes a tombstone of a data set.
pub async fn bury(executor: impl PgExecutor<'_>, id: DatasetId) -> Result<(), DatabaseError> {
    sqlx::query!("update dataset set deleted_at = clock_timestamp(), name = null where id = $1", id.uuid())
        .execute(executor)
        .await?;
    Ok(())
}

/// Some that nobody has uploaded and no job has used for so long.
pub async fn unused(
    executor: impl PgExecutor<'_>,
    unused_for: Duration,
    limit: i64,
) -> Result<Vec<DatasetId>, DatabaseError> {
    let ids = sqlx::query_scalar!(
        "select id from dataset
         where deleted_at is null and uploaded_at <= clock_timestamp() - make_interval(secs => $1) and not exists (
             select from job where dataset_id = dataset.id and kind = 'prune'
                 and (finished_at is null or finished_at > clock_timestamp() - make_interval(secs => $1))
         )
         order by uploaded_at limit $2",
        unused_for.as_secs_f64(),
        limit
    )
    .fetch_all(executor)
    .await?;
    Ok(ids.into_iter().map(DatasetId::from).collect())
}

/// Deletes some tombstones to which no job refers any more.
pub async fn delete_tombstones(executor: impl PgExecutor<'_>, limit: i64) -> Result<(), DatabaseError> {
    sqlx::query!(
        "delete from dataset where id in (
             select id from dataset
             where deleted_at is not null and not exists (select from job where dataset_id = dataset.id)
             limit $1 for update skip locked
         )",
        limit
    )
    .execute(executor)
    .await?;
    Ok(())
}

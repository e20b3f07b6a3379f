//! `dataset`: uploaded data sets, one row per content and tenant.

use secateur_core::dataset::DatasetSummary;
use sqlx::PgExecutor;
use time::OffsetDateTime;
use uuid::Uuid;

use super::to_json;
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

/// Inserts a data set unless the tenant has its content already.
pub async fn insert(
    executor: impl PgExecutor<'_>,
    tenant: &Tenant,
    name: Option<&str>,
    sha256: Sha256,
    bytes: u64,
    blob: &BlobKey,
    summary: &DatasetSummary,
) -> Result<(), DatabaseError> {
    sqlx::query!(
        "insert into dataset (id, tenant, name, sha256, bytes, blob, summary) values ($1, $2, $3, $4, $5, $6, $7)
         on conflict (tenant, sha256) do nothing",
        DatasetId::generate().uuid(),
        tenant.as_str(),
        name,
        sha256.to_string(),
        bytes as i64,
        blob.as_str(),
        to_json(summary)
    )
    .execute(executor)
    .await?;
    Ok(())
}

pub async fn find(executor: impl PgExecutor<'_>, id: DatasetId) -> Result<Option<Dataset>, DatabaseError> {
    let raw = sqlx::query_as!(
        RawDataset,
        "select id, name, sha256, bytes, blob, summary, created_at from dataset where id = $1",
        id.uuid()
    )
    .fetch_optional(executor)
    .await?;
    raw.map(Dataset::try_from).transpose()
}

/// Whether there is such a data set, and whose.
pub async fn belongs_to(executor: impl PgExecutor<'_>, id: DatasetId, tenant: &Tenant) -> Result<bool, DatabaseError> {
    let belongs = sqlx::query_scalar!(
        "select exists (select 1 from dataset where id = $1 and tenant = $2) as \"belongs!\"",
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
         where tenant = $1 and sha256 = $2",
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
         where tenant = $1 and ($2::uuid is null or id < $2) order by id desc limit $3",
        tenant.as_str(),
        before.map(DatasetId::uuid),
        limit
    )
    .fetch_all(executor)
    .await?;
    rows.into_iter().map(Dataset::try_from).collect()
}

//! `dataset`: uploaded data sets, one row per content.

use secateur_core::dataset::DatasetSummary;
use sqlx::PgExecutor;
use time::OffsetDateTime;
use uuid::Uuid;

use super::to_json;
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

/// Inserts a data set unless its content is there already.
pub async fn insert(
    executor: impl PgExecutor<'_>,
    name: Option<&str>,
    sha256: Sha256,
    bytes: u64,
    blob: &BlobKey,
    summary: &DatasetSummary,
) -> Result<(), DatabaseError> {
    sqlx::query!(
        "insert into dataset (id, name, sha256, bytes, blob, summary) values ($1, $2, $3, $4, $5, $6)
         on conflict (sha256) do nothing",
        DatasetId::generate().uuid(),
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

pub async fn find_by_sha256(executor: impl PgExecutor<'_>, sha256: Sha256) -> Result<Option<Dataset>, DatabaseError> {
    let raw = sqlx::query_as!(
        RawDataset,
        "select id, name, sha256, bytes, blob, summary, created_at from dataset where sha256 = $1",
        sha256.to_string()
    )
    .fetch_optional(executor)
    .await?;
    raw.map(Dataset::try_from).transpose()
}

/// Data sets newest first, older than `before`.
pub async fn list(
    executor: impl PgExecutor<'_>,
    before: Option<DatasetId>,
    limit: i64,
) -> Result<Vec<Dataset>, DatabaseError> {
    let rows = sqlx::query_as!(
        RawDataset,
        "select id, name, sha256, bytes, blob, summary, created_at from dataset
         where $1::uuid is null or id < $1 order by id desc limit $2",
        before.map(DatasetId::uuid),
        limit
    )
    .fetch_all(executor)
    .await?;
    rows.into_iter().map(Dataset::try_from).collect()
}

//! `model`: uploaded TorchScript archives, one row per content.

use secateur_core::report::ModelSummary;
use sqlx::PgExecutor;
use time::OffsetDateTime;
use uuid::Uuid;

use super::to_json;
use crate::blob::BlobKey;
use crate::database::DatabaseError;
use crate::digest::Sha256;
use crate::id::ModelId;

/// A row.
#[derive(Debug, Clone)]
pub struct Model {
    pub id: ModelId,
    pub name: Option<String>,
    pub sha256: Sha256,
    pub bytes: u64,
    pub blob: BlobKey,
    /// `None` until a job has imported the model.
    pub summary: Option<ModelSummary>,
    pub created_at: OffsetDateTime,
}

struct RawModel {
    id: Uuid,
    name: Option<String>,
    sha256: String,
    bytes: i64,
    blob: String,
    summary: Option<serde_json::Value>,
    created_at: OffsetDateTime,
}

impl TryFrom<RawModel> for Model {
    type Error = DatabaseError;

    fn try_from(raw: RawModel) -> Result<Self, DatabaseError> {
        let unreadable = |detail: String| DatabaseError::unreadable("model", detail);
        Ok(Self {
            id: raw.id.into(),
            name: raw.name,
            sha256: raw.sha256.try_into().map_err(unreadable)?,
            bytes: raw.bytes as u64,
            blob: BlobKey::from_row(raw.blob),
            summary: raw
                .summary
                .map(serde_json::from_value)
                .transpose()
                .map_err(|error| unreadable(error.to_string()))?,
            created_at: raw.created_at,
        })
    }
}

/// Inserts a model unless its content is there already.
pub async fn insert(
    executor: impl PgExecutor<'_>,
    name: Option<&str>,
    sha256: Sha256,
    bytes: u64,
    blob: &BlobKey,
) -> Result<(), DatabaseError> {
    sqlx::query!(
        "insert into model (id, name, sha256, bytes, blob) values ($1, $2, $3, $4, $5)
         on conflict (sha256) do nothing",
        ModelId::generate().uuid(),
        name,
        sha256.to_string(),
        bytes as i64,
        blob.as_str()
    )
    .execute(executor)
    .await?;
    Ok(())
}

pub async fn find(executor: impl PgExecutor<'_>, id: ModelId) -> Result<Option<Model>, DatabaseError> {
    let raw = sqlx::query_as!(
        RawModel,
        "select id, name, sha256, bytes, blob, summary, created_at from model where id = $1",
        id.uuid()
    )
    .fetch_optional(executor)
    .await?;
    raw.map(Model::try_from).transpose()
}

pub async fn find_by_sha256(executor: impl PgExecutor<'_>, sha256: Sha256) -> Result<Option<Model>, DatabaseError> {
    let raw = sqlx::query_as!(
        RawModel,
        "select id, name, sha256, bytes, blob, summary, created_at from model where sha256 = $1",
        sha256.to_string()
    )
    .fetch_optional(executor)
    .await?;
    raw.map(Model::try_from).transpose()
}

/// Models newest first, older than `before`.
pub async fn list(
    executor: impl PgExecutor<'_>,
    before: Option<ModelId>,
    limit: i64,
) -> Result<Vec<Model>, DatabaseError> {
    let rows = sqlx::query_as!(
        RawModel,
        "select id, name, sha256, bytes, blob, summary, created_at from model
         where $1::uuid is null or id < $1 order by id desc limit $2",
        before.map(ModelId::uuid),
        limit
    )
    .fetch_all(executor)
    .await?;
    rows.into_iter().map(Model::try_from).collect()
}

pub async fn set_summary(
    executor: impl PgExecutor<'_>,
    id: ModelId,
    summary: &ModelSummary,
) -> Result<(), DatabaseError> {
    sqlx::query!("update model set summary = $2 where id = $1", id.uuid(), to_json(summary)).execute(executor).await?;
    Ok(())
}

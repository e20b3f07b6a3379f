//! `model`: uploaded TorchScript archives, one row per content and tenant.

use std::time::Duration;

use secateur_core::inspection::ModelSummary;
use sqlx::PgExecutor;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{NewUpload, to_json};
use crate::access::Tenant;
use crate::blob::BlobKey;
use crate::database::DatabaseError;
use crate::digest::Sha256;
use crate::id::{JobId, ModelId};
use crate::job::{JobError, JobStatus};

/// A row.
#[derive(Debug, Clone)]
pub struct Model {
    pub id: ModelId,
    pub name: Option<String>,
    pub sha256: Sha256,
    pub bytes: u64,
    pub blob: BlobKey,
    /// `None` until an inspection or a job has imported the model.
    pub summary: Option<ModelSummary>,
    /// The latest one that was asked for.
    pub inspection: Option<Inspection>,
    pub created_at: OffsetDateTime,
}

/// How an inspection goes.
#[derive(Debug, Clone)]
pub struct Inspection {
    pub job: JobId,
    pub status: JobStatus,
    pub error: Option<JobError>,
}

struct RawModel {
    id: Uuid,
    name: Option<String>,
    sha256: String,
    bytes: i64,
    blob: String,
    summary: Option<serde_json::Value>,
    inspection: Option<Uuid>,
    inspection_status: Option<String>,
    inspection_error: Option<serde_json::Value>,
    created_at: OffsetDateTime,
}

impl TryFrom<RawModel> for Model {
    type Error = DatabaseError;

    fn try_from(raw: RawModel) -> Result<Self, DatabaseError> {
        let unreadable = |detail: String| DatabaseError::unreadable("model", detail);
        let inspection = match (raw.inspection, raw.inspection_status) {
            (Some(job), Some(status)) => Some(Inspection {
                job: job.into(),
                status: JobStatus::parse(&status).ok_or_else(|| unreadable(format!("status {status}")))?,
                error: parse(raw.inspection_error)?,
            }),
            _ => None,
        };
        Ok(Self {
            id: raw.id.into(),
            name: raw.name,
            sha256: raw.sha256.try_into().map_err(unreadable)?,
            bytes: raw.bytes as u64,
            blob: BlobKey::from_row(raw.blob),
            summary: parse(raw.summary)?,
            inspection,
            created_at: raw.created_at,
        })
    }
}

fn parse<T: serde::de::DeserializeOwned>(value: Option<serde_json::Value>) -> Result<Option<T>, DatabaseError> {
    value.map(serde_json::from_value).transpose().map_err(|error| DatabaseError::unreadable("model", error))
}

/// Inserts a model unless the tenant has its content already; says whether it did.
pub async fn insert(executor: impl PgExecutor<'_>, new: &NewUpload<'_, ModelId>) -> Result<bool, DatabaseError> {
    let inserted = sqlx::query!(
        "insert into model (id, tenant, name, sha256, bytes, blob) values ($1, $2, $3, $4, $5, $6)
         on conflict (tenant, sha256) where deleted_at is null do nothing",
        new.id.uuid(),
        new.tenant.as_str(),
        new.name,
        new.sha256.to_string(),
        new.bytes as i64,
        new.blob.as_str()
    )
    .execute(executor)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

pub async fn find(executor: impl PgExecutor<'_>, id: ModelId) -> Result<Option<Model>, DatabaseError> {
    let raw = sqlx::query_as!(
        RawModel,
        "select model.id, model.name, sha256, bytes, blob, summary, inspection.id as \"inspection?\",
                inspection.status as \"inspection_status?\", inspection.error as inspection_error, model.created_at
         from model left join lateral (
             select id, status, error from job where kind = 'inspect' and model_id = model.id order by id desc limit 1
         ) inspection on true
         where model.id = $1 and deleted_at is null",
        id.uuid()
    )
    .fetch_optional(executor)
    .await?;
    raw.map(Model::try_from).transpose()
}

/// Whether there is such a model of this tenant.
pub async fn belongs_to(executor: impl PgExecutor<'_>, id: ModelId, tenant: &Tenant) -> Result<bool, DatabaseError> {
    let belongs = sqlx::query_scalar!(
        "select exists (select 1 from model where id = $1 and tenant = $2 and deleted_at is null) as \"belongs!\"",
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
) -> Result<Option<Model>, DatabaseError> {
    let raw = sqlx::query_as!(
        RawModel,
        "select model.id, model.name, sha256, bytes, blob, summary, inspection.id as \"inspection?\",
                inspection.status as \"inspection_status?\", inspection.error as inspection_error, model.created_at
         from model left join lateral (
             select id, status, error from job where kind = 'inspect' and model_id = model.id order by id desc limit 1
         ) inspection on true
         where model.tenant = $1 and sha256 = $2 and deleted_at is null",
        tenant.as_str(),
        sha256.to_string()
    )
    .fetch_optional(executor)
    .await?;
    raw.map(Model::try_from).transpose()
}

/// Models of a tenant newest first, older than `before`.
pub async fn list(
    executor: impl PgExecutor<'_>,
    tenant: &Tenant,
    before: Option<ModelId>,
    limit: i64,
) -> Result<Vec<Model>, DatabaseError> {
    let rows = sqlx::query_as!(
        RawModel,
        "select model.id, model.name, sha256, bytes, blob, summary, inspection.id as \"inspection?\",
                inspection.status as \"inspection_status?\", inspection.error as inspection_error, model.created_at
         from model left join lateral (
             select id, status, error from job where kind = 'inspect' and model_id = model.id order by id desc limit 1
         ) inspection on true
         where model.tenant = $1 and deleted_at is null and ($2::uuid is null or model.id < $2) order by model.id desc limit $3",
        tenant.as_str(),
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

/// Keeps a model from being deleted until the transaction ends; `false` when it is gone already.
pub async fn hold(executor: impl PgExecutor<'_>, id: ModelId) -> Result<bool, DatabaseError> {
    let held =
        sqlx::query_scalar!("select id from model where id = $1 and deleted_at is null for key share", id.uuid())
            .fetch_optional(executor)
            .await?;
    Ok(held.is_some())
}

/// Says that somebody has uploaded it again.
pub async fn set_uploaded(executor: impl PgExecutor<'_>, id: ModelId) -> Result<(), DatabaseError> {
    sqlx::query!("update model set uploaded_at = clock_timestamp() where id = $1", id.uuid()).execute(executor).await?;
    Ok(())
}

/// Locks a model that is to go and gives its blob; `None` when it is gone, or was uploaded again within `unused_for`.
pub async fn lock(
    executor: impl PgExecutor<'_>,
    id: ModelId,
    unused_for: Duration,
) -> Result<Option<BlobKey>, DatabaseError> {
    let blob = sqlx::query_scalar!(
        "select blob from model
         where id = $1 and deleted_at is null and uploaded_at <= clock_timestamp() - make_interval(secs => $2)
         for update",
        id.uuid(),
        unused_for.as_secs_f64()
    )
    .fetch_optional(executor)
    .await?;
    Ok(blob.map(BlobKey::from_row))
}

/// Makes a tombstone of a model.
pub async fn bury(executor: impl PgExecutor<'_>, id: ModelId) -> Result<(), DatabaseError> {
    sqlx::query!(
        "update model set deleted_at = clock_timestamp(), name = null, summary = null where id = $1",
        id.uuid()
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Some that nobody has uploaded and no job has used for so long.
pub async fn unused(
    executor: impl PgExecutor<'_>,
    unused_for: Duration,
    limit: i64,
) -> Result<Vec<ModelId>, DatabaseError> {
    let ids = sqlx::query_scalar!(
        "select id from model
         where deleted_at is null and uploaded_at <= clock_timestamp() - make_interval(secs => $1) and not exists (
             select from job where model_id = model.id and kind = 'prune'
                 and (finished_at is null or finished_at > clock_timestamp() - make_interval(secs => $1))
         )
         order by uploaded_at limit $2",
        unused_for.as_secs_f64(),
        limit
    )
    .fetch_all(executor)
    .await?;
    Ok(ids.into_iter().map(ModelId::from).collect())
}

/// Deletes some tombstones to which no job refers any more.
pub async fn delete_tombstones(executor: impl PgExecutor<'_>, limit: i64) -> Result<(), DatabaseError> {
    sqlx::query!(
        "delete from model where id in (
             select id from model
             where deleted_at is not null and not exists (select from job where model_id = model.id)
             limit $1 for update skip locked
         )",
        limit
    )
    .execute(executor)
    .await?;
    Ok(())
}

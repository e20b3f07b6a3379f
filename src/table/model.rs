//! `model`: uploaded TorchScript archives, one row per content and tenant.

use secateur_core::report::ModelSummary;
use sqlx::PgExecutor;
use time::OffsetDateTime;
use uuid::Uuid;

use super::to_json;
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

/// Inserts a model unless the tenant has its content already.
pub async fn insert(
    executor: impl PgExecutor<'_>,
    tenant: &Tenant,
    name: Option<&str>,
    sha256: Sha256,
    bytes: u64,
    blob: &BlobKey,
) -> Result<(), DatabaseError> {
    sqlx::query!(
        "insert into model (id, tenant, name, sha256, bytes, blob) values ($1, $2, $3, $4, $5, $6)
         on conflict (tenant, sha256) do nothing",
        ModelId::generate().uuid(),
        tenant.as_str(),
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
        "select model.id, model.name, sha256, bytes, blob, summary, inspection.id as \"inspection?\",
                inspection.status as \"inspection_status?\", inspection.error as inspection_error, model.created_at
         from model left join lateral (
             select id, status, error from job where kind = 'inspect' and model_id = model.id order by id desc limit 1
         ) inspection on true
         where model.id = $1",
        id.uuid()
    )
    .fetch_optional(executor)
    .await?;
    raw.map(Model::try_from).transpose()
}

/// Whether there is such a model, and whose.
pub async fn belongs_to(executor: impl PgExecutor<'_>, id: ModelId, tenant: &Tenant) -> Result<bool, DatabaseError> {
    let belongs = sqlx::query_scalar!(
        "select exists (select 1 from model where id = $1 and tenant = $2) as \"belongs!\"",
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
         where model.tenant = $1 and sha256 = $2",
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
         where model.tenant = $1 and ($2::uuid is null or model.id < $2) order by model.id desc limit $3",
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

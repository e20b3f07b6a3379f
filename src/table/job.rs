//! `job`: what was asked, where it is, what came out.

use std::collections::BTreeMap;
use std::time::Duration;

use secateur_core::spec::JobSpec;
use secateur_core::stage::{FinishedTask, JobView, Measurements, Stage};
use serde_json::Value;
use sqlx::PgExecutor;
use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

use super::to_json;
use crate::access::Tenant;
use crate::database::DatabaseError;
use crate::digest::Sha256;
use crate::id::{DatasetId, JobId, ModelId};
use crate::job::{Best, JobError, JobKind, JobResult, JobStatus, Order};

/// A row.
#[derive(Debug, Clone)]
pub struct Job {
    pub id: JobId,
    pub order: Order,
    pub name: Option<String>,
    pub status: JobStatus,
    pub stage: Stage,
    pub labels: BTreeMap<String, String>,
    pub model_id: ModelId,
    pub dataset_id: Option<DatasetId>,
    /// What was taken over from earlier jobs instead of being measured.
    pub reused: Measurements,
    /// Seconds of computing that went into these.
    pub saved_s: f64,
    /// Where in a distributed trace it was submitted.
    pub traceparent: Option<String>,
    /// Since when its tasks are held.
    pub paused_at: Option<OffsetDateTime>,
    /// The job that it was made from; it may be gone.
    pub clone_of: Option<JobId>,
    pub best: Option<Best>,
    pub result: Option<JobResult>,
    pub error: Option<JobError>,
    pub last_event: i64,
    pub created_at: OffsetDateTime,
    pub started_at: Option<OffsetDateTime>,
    pub finished_at: Option<OffsetDateTime>,
}

impl Job {
    /// A job that prunes as its stages see it.
    pub fn view<'a>(&'a self, spec: &'a JobSpec, finished: &'a [FinishedTask]) -> JobView<'a> {
        JobView { spec, has_dataset: self.dataset_id.is_some(), finished, reused: &self.reused }
    }
}

/// A job to be inserted; it starts as `queued`.
#[derive(Debug, Clone)]
pub struct NewJob {
    pub id: JobId,
    pub tenant: Tenant,
    pub order: Order,
    pub model_id: ModelId,
    pub dataset_id: Option<DatasetId>,
    pub clone_of: Option<JobId>,
    pub idempotency_key: Option<String>,
    pub request_sha256: Sha256,
    /// Where in a distributed trace it is submitted.
    pub traceparent: Option<String>,
}

/// Which jobs of a tenant a list shows: newest first, below `before`. Inspections are not among them.
#[derive(Debug, Clone)]
pub struct Filter {
    pub tenant: Tenant,
    pub status: Option<JobStatus>,
    pub label: Option<LabelFilter>,
    pub before: Option<JobId>,
}

/// Jobs that have a label, with this value or, without one, with any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelFilter {
    pub key: String,
    pub value: Option<String>,
}

impl LabelFilter {
    /// Reads `key` or `key:value`; a key with a colon cannot be said.
    pub fn parse(text: &str) -> Option<Self> {
        let (key, value) = match text.split_once(':') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (text, None),
        };
        // Postgres takes no NUL in texts, and no label has one.
        (!key.is_empty() && !text.contains('\0')).then(|| Self { key: key.to_owned(), value })
    }
}

struct RawJob {
    id: Uuid,
    kind: String,
    name: Option<String>,
    status: String,
    stage: String,
    spec: Value,
    labels: Value,
    model_id: Uuid,
    dataset_id: Option<Uuid>,
    reused: Value,
    saved_s: f64,
    traceparent: Option<String>,
    paused_at: Option<OffsetDateTime>,
    clone_of: Option<Uuid>,
    best: Option<Value>,
    result: Option<Value>,
    error: Option<Value>,
    last_event: i64,
    created_at: OffsetDateTime,
    started_at: Option<OffsetDateTime>,
    finished_at: Option<OffsetDateTime>,
}

impl TryFrom<RawJob> for Job {
    type Error = DatabaseError;

    fn try_from(raw: RawJob) -> Result<Self, DatabaseError> {
        let unreadable = |detail: String| DatabaseError::unreadable("job", detail);
        let kind = JobKind::parse(&raw.kind).ok_or_else(|| unreadable(format!("kind {}", raw.kind)))?;
        Ok(Self {
            id: raw.id.into(),
            order: Order::parse(kind, raw.spec).map_err(|error| DatabaseError::unreadable("job", error))?,
            name: raw.name,
            status: JobStatus::parse(&raw.status).ok_or_else(|| unreadable(format!("status {}", raw.status)))?,
            stage: Stage::parse(&raw.stage).ok_or_else(|| unreadable(format!("stage {}", raw.stage)))?,
            labels: parse(raw.labels)?,
            model_id: raw.model_id.into(),
            dataset_id: raw.dataset_id.map(DatasetId::from),
            reused: parse(raw.reused)?,
            saved_s: raw.saved_s,
            traceparent: raw.traceparent,
            paused_at: raw.paused_at,
            clone_of: raw.clone_of.map(JobId::from),
            best: raw.best.map(parse).transpose()?,
            result: raw.result.map(parse).transpose()?,
            error: raw.error.map(parse).transpose()?,
            last_event: raw.last_event,
            created_at: raw.created_at,
            started_at: raw.started_at,
            finished_at: raw.finished_at,
        })
    }
}

fn parse<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, DatabaseError> {
    serde_json::from_value(value).map_err(|error| DatabaseError::unreadable("job", error))
}

/// Inserts a job; `false` when its idempotency key is taken.
pub async fn insert(executor: impl PgExecutor<'_>, job: &NewJob) -> Result<bool, DatabaseError> {
    let spec = job.order.spec();
    let inserted = sqlx::query!(
        "insert into job (id, tenant, kind, name, stage, spec, labels, model_id, dataset_id, idempotency_key, request_sha256,
                          clone_of, traceparent)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
         on conflict (tenant, idempotency_key) do nothing",
        job.id.uuid(),
        job.tenant.as_str(),
        job.order.kind().as_str(),
        spec.and_then(|spec| spec.name.as_deref()),
        job.order.first_stage().as_str(),
        Json(&job.order) as _,
        to_json(&spec.map(|spec| spec.labels.clone()).unwrap_or_default()),
        job.model_id.uuid(),
        job.dataset_id.map(DatasetId::uuid),
        job.idempotency_key,
        job.request_sha256.to_string(),
        job.clone_of.map(JobId::uuid),
        job.traceparent,
    )
    .execute(executor)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// The job of a tenant that holds an idempotency key, with the digest of what was asked.
pub async fn find_by_idempotency_key(
    executor: impl PgExecutor<'_>,
    tenant: &Tenant,
    key: &str,
) -> Result<Option<(JobId, String)>, DatabaseError> {
    let row = sqlx::query!(
        "select id, request_sha256 from job where tenant = $1 and idempotency_key = $2",
        tenant.as_str(),
        key
    )
    .fetch_optional(executor)
    .await?;
    Ok(row.map(|row| (row.id.into(), row.request_sha256)))
}

pub async fn find(executor: impl PgExecutor<'_>, id: JobId) -> Result<Option<Job>, DatabaseError> {
    let raw = sqlx::query_as!(
        RawJob,
        "select id, kind, name, status, stage, spec, labels, model_id, dataset_id, reused, saved_s, traceparent, paused_at,
                clone_of, best, result, error, last_event, created_at, started_at, finished_at
         from job where id = $1",
        id.uuid()
    )
    .fetch_optional(executor)
    .await?;
    raw.map(Job::try_from).transpose()
}

/// Whether there is such a job of this tenant.
pub async fn belongs_to(executor: impl PgExecutor<'_>, id: JobId, tenant: &Tenant) -> Result<bool, DatabaseError> {
    let belongs = sqlx::query_scalar!(
        "select exists (select 1 from job where id = $1 and tenant = $2) as \"belongs!\"",
        id.uuid(),
        tenant.as_str()
    )
    .fetch_one(executor)
    .await?;
    Ok(belongs)
}

/// Jobs newest first. Their specs come without the configurations that they replay, which can be long.
pub async fn list(executor: impl PgExecutor<'_>, filter: &Filter, limit: i64) -> Result<Vec<Job>, DatabaseError> {
    let rows = sqlx::query_as!(
        RawJob,
        "select id, kind, name, status, stage, spec - 'config' as \"spec!\", labels, model_id, dataset_id, reused,
                saved_s, traceparent, paused_at, clone_of, best, result, error, last_event, created_at, started_at, finished_at
         from job
         where kind = 'prune' and tenant = $1 and ($2::text is null or status = $2) and ($3::uuid is null or id < $3)
               and ($5::text is null or labels ->> $5 = coalesce($6::text, labels ->> $5))
         order by id desc limit $4",
        filter.tenant.as_str(),
        filter.status.map(JobStatus::as_str),
        filter.before.map(JobId::uuid),
        limit,
        filter.label.as_ref().map(|label| label.key.as_str()),
        filter.label.as_ref().and_then(|label| label.value.as_deref())
    )
    .fetch_all(executor)
    .await?;
    rows.into_iter().map(Job::try_from).collect()
}

/// The status alone; what a long poll asks again and again.
pub async fn status(executor: impl PgExecutor<'_>, id: JobId) -> Result<Option<JobStatus>, DatabaseError> {
    let status =
        sqlx::query_scalar!("select status from job where id = $1", id.uuid()).fetch_optional(executor).await?;
    status
        .map(|status| {
            JobStatus::parse(&status).ok_or_else(|| DatabaseError::unreadable("job", format!("status {status}")))
        })
        .transpose()
}

/// Locks a job's row until the transaction ends; `false` when there is none.
pub async fn lock(executor: impl PgExecutor<'_>, id: JobId) -> Result<bool, DatabaseError> {
    let row =
        sqlx::query_scalar!("select id from job where id = $1 for update", id.uuid()).fetch_optional(executor).await?;
    Ok(row.is_some())
}

/// Locks a job's row unless another transaction holds it; `false` when it does.
pub async fn lock_if_free(executor: impl PgExecutor<'_>, id: JobId) -> Result<bool, DatabaseError> {
    let row = sqlx::query_scalar!("select id from job where id = $1 for update skip locked", id.uuid())
        .fetch_optional(executor)
        .await?;
    Ok(row.is_some())
}

pub async fn set_running(executor: impl PgExecutor<'_>, id: JobId) -> Result<(), DatabaseError> {
    sqlx::query!(
        "update job set status = 'running', started_at = clock_timestamp() where id = $1 and status = 'queued'",
        id.uuid()
    )
    .execute(executor)
    .await?;
    Ok(())
}

pub async fn set_stage(executor: impl PgExecutor<'_>, id: JobId, stage: Stage) -> Result<(), DatabaseError> {
    sqlx::query!("update job set stage = $2 where id = $1", id.uuid(), stage.as_str()).execute(executor).await?;
    Ok(())
}

pub async fn set_reused(executor: impl PgExecutor<'_>, id: JobId, reused: &Measurements) -> Result<(), DatabaseError> {
    sqlx::query!("update job set reused = $2 where id = $1", id.uuid(), to_json(reused)).execute(executor).await?;
    Ok(())
}

pub async fn set_best(executor: impl PgExecutor<'_>, id: JobId, best: &Best) -> Result<(), DatabaseError> {
    sqlx::query!("update job set best = $2 where id = $1", id.uuid(), to_json(best)).execute(executor).await?;
    Ok(())
}

/// Ends a job well; an inspection has no result of its own.
pub async fn set_succeeded(
    executor: impl PgExecutor<'_>,
    id: JobId,
    result: Option<&JobResult>,
) -> Result<(), DatabaseError> {
    sqlx::query!(
        "update job set status = 'succeeded', result = $2, paused_at = null, finished_at = clock_timestamp() where id = $1",
        id.uuid(),
        result.map(to_json)
    )
    .execute(executor)
    .await?;
    Ok(())
}

pub async fn set_failed(executor: impl PgExecutor<'_>, id: JobId, error: &JobError) -> Result<(), DatabaseError> {
    sqlx::query!(
        "update job set status = 'failed', error = $2, paused_at = null, finished_at = clock_timestamp() where id = $1",
        id.uuid(),
        to_json(error)
    )
    .execute(executor)
    .await?;
    Ok(())
}

pub async fn set_cancelled(executor: impl PgExecutor<'_>, id: JobId) -> Result<(), DatabaseError> {
    sqlx::query!(
        "update job set status = 'cancelled', paused_at = null, finished_at = clock_timestamp() where id = $1",
        id.uuid()
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Pauses a job, or ends its pause.
pub async fn set_paused(executor: impl PgExecutor<'_>, id: JobId, paused: bool) -> Result<(), DatabaseError> {
    sqlx::query!("update job set paused_at = case when $2 then clock_timestamp() end where id = $1", id.uuid(), paused)
        .execute(executor)
        .await?;
    Ok(())
}

/// Whether another event of progress may be written, so long after the one before; if so its time is taken down.
pub async fn take_turn_for_progress(
    executor: impl PgExecutor<'_>,
    id: JobId,
    between: Duration,
) -> Result<bool, DatabaseError> {
    let taken = sqlx::query!(
        "update job set progress_at = clock_timestamp()
         where id = $1 and (progress_at is null or progress_at <= clock_timestamp() - make_interval(secs => $2))",
        id.uuid(),
        between.as_secs_f64()
    )
    .execute(executor)
    .await?;
    Ok(taken.rows_affected() == 1)
}

/// Adds the seconds of an attempt that has ended; returns whose job it is.
pub async fn add_seconds(executor: impl PgExecutor<'_>, id: JobId, seconds: f64) -> Result<Tenant, DatabaseError> {
    let tenant =
        sqlx::query_scalar!("update job set ran_s = ran_s + $2 where id = $1 returning tenant", id.uuid(), seconds)
            .fetch_one(executor)
            .await?;
    tenant.parse().map_err(|error| DatabaseError::unreadable("job", error))
}

/// Jobs whose tasks have run longer than their specs allow, with how long and the most that is allowed.
pub async fn overrun(executor: impl PgExecutor<'_>) -> Result<Vec<(JobId, f64, f64)>, DatabaseError> {
    let rows = sqlx::query!(
        r#"select id, ran_s + running_s as "ran_s!", most_s as "most_s!"
           from job
           cross join lateral (
               select coalesce(sum(extract(epoch from clock_timestamp() - task.started_at)), 0)::float8 as running_s
               from task where job_id = job.id and state = 'running'
           ) as running
           cross join lateral (select (spec ->> 'max_runtime_s')::float8 as most_s) as allowed
           where finished_at is null and spec ? 'max_runtime_s' and ran_s + running_s > most_s
           limit 100"#
    )
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id.into(), row.ran_s, row.most_s)).collect())
}

/// Jobs that have not ended and of which no task is there that could go on: nothing would ever happen to them.
pub async fn stranded(executor: impl PgExecutor<'_>) -> Result<Vec<JobId>, DatabaseError> {
    let ids = sqlx::query_scalar!(
        "select id from job
         where finished_at is null
               and not exists (select 1 from task where job_id = job.id and state in ('queued', 'held', 'running', 'waiting'))
         limit 100"
    )
    .fetch_all(executor)
    .await?;
    Ok(ids.into_iter().map(JobId::from).collect())
}

/// Whether [`stranded`] holds of one job.
pub async fn is_stranded(executor: impl PgExecutor<'_>, id: JobId) -> Result<bool, DatabaseError> {
    let is_stranded = sqlx::query_scalar!(
        r#"select finished_at is null
                  and not exists (
                      select 1 from task where job_id = job.id and state in ('queued', 'held', 'running', 'waiting')
                  ) as "is_stranded!"
           from job where id = $1"#,
        id.uuid()
    )
    .fetch_optional(executor)
    .await?;
    Ok(is_stranded == Some(true))
}

/// Adds to the seconds of computing that a job need not spend.
pub async fn add_saved(executor: impl PgExecutor<'_>, id: JobId, seconds: f64) -> Result<(), DatabaseError> {
    sqlx::query!("update job set saved_s = saved_s + $2 where id = $1", id.uuid(), seconds).execute(executor).await?;
    Ok(())
}

/// The next event's sequence number; the row stays locked, so numbers become visible in order.
pub async fn next_event(executor: impl PgExecutor<'_>, id: JobId) -> Result<i64, DatabaseError> {
    let sequence =
        sqlx::query_scalar!("update job set last_event = last_event + 1 where id = $1 returning last_event", id.uuid())
            .fetch_one(executor)
            .await?;
    Ok(sequence)
}

/// Deletes the inspections of a model that have ended.
pub async fn delete_ended_inspections(executor: impl PgExecutor<'_>, model: ModelId) -> Result<(), DatabaseError> {
    sqlx::query!("delete from job where kind = 'inspect' and model_id = $1 and finished_at is not null", model.uuid())
        .execute(executor)
        .await?;
    Ok(())
}

/// Deletes a job with its tasks, events and artifact rows.
pub async fn delete(executor: impl PgExecutor<'_>, id: JobId) -> Result<(), DatabaseError> {
    sqlx::query!("delete from job where id = $1", id.uuid()).execute(executor).await?;
    Ok(())
}

/// Locks the inspections of a model until the transaction ends.
pub async fn lock_inspections(executor: impl PgExecutor<'_>, model: ModelId) -> Result<(), DatabaseError> {
    sqlx::query!("select id from job where kind = 'inspect' and model_id = $1 order by id for update", model.uuid())
        .fetch_all(executor)
        .await?;
    Ok(())
}

/// Deletes every inspection of a model, also one that runs: its worker is told at its next heartbeat.
pub async fn delete_inspections(executor: impl PgExecutor<'_>, model: ModelId) -> Result<(), DatabaseError> {
    sqlx::query!("delete from job where kind = 'inspect' and model_id = $1", model.uuid()).execute(executor).await?;
    Ok(())
}

/// Some of the jobs that have not ended and need a model.
pub async fn in_need_of_model(
    executor: impl PgExecutor<'_>,
    model: ModelId,
    limit: i64,
) -> Result<Vec<JobId>, DatabaseError> {
    let ids = sqlx::query_scalar!(
        "select id from job where kind = 'prune' and finished_at is null and model_id = $1 order by id limit $2",
        model.uuid(),
        limit
    )
    .fetch_all(executor)
    .await?;
    Ok(ids.into_iter().map(JobId::from).collect())
}

/// Some of the jobs that have not ended and need a data set.
pub async fn in_need_of_dataset(
    executor: impl PgExecutor<'_>,
    dataset: DatasetId,
    limit: i64,
) -> Result<Vec<JobId>, DatabaseError> {
    let ids = sqlx::query_scalar!(
        "select id from job where kind = 'prune' and finished_at is null and dataset_id = $1 order by id limit $2",
        dataset.uuid(),
        limit
    )
    .fetch_all(executor)
    .await?;
    Ok(ids.into_iter().map(JobId::from).collect())
}

/// Some of the jobs that ended longer ago.
pub async fn ended_before(
    executor: impl PgExecutor<'_>,
    ago: Duration,
    limit: i64,
) -> Result<Vec<JobId>, DatabaseError> {
    let ids = sqlx::query_scalar!(
        "select id from job
         where kind = 'prune' and finished_at <= clock_timestamp() - make_interval(secs => $1)
         order by finished_at limit $2",
        ago.as_secs_f64(),
        limit
    )
    .fetch_all(executor)
    .await?;
    Ok(ids.into_iter().map(JobId::from).collect())
}

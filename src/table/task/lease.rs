//! Leases: taken by a claim, kept by heartbeats, and fenced by `attempt`, which rises with every claim.

use std::time::Duration;

use secateur_core::stage::{PlannedTask, Stage};
use secateur_core::wire::{Computed, PROTOCOL, Progress};
use sqlx::PgExecutor;
use uuid::Uuid;

use super::{TaskState, parse, stage_of};
use crate::blob::BlobKey;
use crate::database::DatabaseError;
use crate::id::{JobId, TaskId};
use crate::table::to_json;

/// The right to write to a task: taken by a claim, worthless once the task is claimed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    pub task: TaskId,
    pub job: JobId,
    pub attempt: i32,
}

struct LeaseRow {
    id: Uuid,
    job_id: Uuid,
    attempt: i32,
}

impl From<LeaseRow> for Lease {
    fn from(row: LeaseRow) -> Self {
        Self { task: row.id.into(), job: row.job_id.into(), attempt: row.attempt }
    }
}

/// The two kinds of work that no slot mixes: neither may keep the other waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// The stages of jobs, which take minutes to hours.
    Jobs,
    /// Looks at uploaded models, which take seconds.
    Inspections,
}

/// What a worker has for a task of a job.
#[derive(Debug, Clone, Copy, Default)]
pub struct Capacity {
    pub has_gpu: bool,
    /// For each slot; `None` when it is not known, which is taken for enough.
    pub memory_bytes: Option<u64>,
}

/// What a claim gives.
#[derive(Debug)]
pub struct ClaimedRow {
    pub lease: Lease,
    pub stage: Stage,
    pub index: usize,
    /// An error where it was written by a version that plans otherwise.
    pub plan: Result<PlannedTask, DatabaseError>,
    /// What an earlier attempt left.
    pub checkpoint: Option<BlobKey>,
}

/// Where a task stands, for those who hold or look for a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub state: TaskState,
    pub attempt: i32,
    pub failures: i32,
    pub losses: i32,
}

/// Leases the task whose turn it is, passing over rows that another claim is about to take.
///
/// The turn: of the tenants the one with the fewest running tasks, and of several the one that had the least of the workers lately; of its
/// jobs those of the highest priority; of these the one with the fewest running tasks, and of several the one whose tasks ran for the
/// smallest part of the time since it was submitted; then the older job, and the task of the lower index. Where more than 256 jobs are
/// alike before that part is looked at, the older ones are looked at.
///
/// PostgreSQL runs a lateral subquery for one row of `turn` after the other, in their order, so the first job that has a free task ends it.
pub async fn claim(
    executor: impl PgExecutor<'_>,
    worker: &str,
    share: Share,
    capacity: Capacity,
    lease: Duration,
) -> Result<Option<ClaimedRow>, DatabaseError> {
    let row = sqlx::query!(
        "with open as (
             select tenant, job_id, priority, true as is_ready
             from task
             where state = 'queued' and (stage <> 'inspect') = $3 and protocol <= $6
                   and (not_before is null or not_before <= clock_timestamp())
                   and (needs_gpu is not true or $4)
                   and (needs_memory is null or $5::bigint is null or needs_memory <= $5)
             union all
             select tenant, job_id, priority, false
             from task where state = 'running' and (stage <> 'inspect') = $3
         ),
         jobs as materialized (
             select tenant, job_id, max(priority) as priority, bool_or(is_ready) as is_ready,
                    count(*) filter (where not is_ready) as running
             from open group by tenant, job_id
         ),
         tenants as materialized (
             select tenant, sum(running) as running,
                    coalesce(
                        (select seconds * power(0.5, extract(epoch from clock_timestamp() - at)::float8 / 3600)
                         from tenant_share where tenant_share.tenant = jobs.tenant), 0
                    ) as seconds
             from jobs group by tenant having bool_or(is_ready)
         ),
         first as materialized (
             select tenant, job_id, tenants.running as of_tenant, seconds, priority, jobs.running as of_job
             from jobs join tenants using (tenant)
             where is_ready
             order by of_tenant, seconds, priority desc, of_job, job_id
             limit 256
         ),
         turn as materialized (
             select first.tenant, first.job_id
             from first
             join job on job.id = first.job_id
             order by of_tenant, seconds, first.priority desc, of_job,
                      ran_s / greatest(extract(epoch from clock_timestamp() - job.created_at)::float8, 1), first.job_id
         ),
         next as materialized (
             select own.id
             from turn
             cross join lateral (
                 select task.id
                 from task
                 where task.tenant = turn.tenant and task.job_id = turn.job_id
                       and task.state = 'queued' and (task.stage <> 'inspect') = $3 and task.protocol <= $6
                       and (task.not_before is null or task.not_before <= clock_timestamp())
                       and (task.needs_gpu is not true or $4)
                       and (task.needs_memory is null or $5::bigint is null or task.needs_memory <= $5)
                 order by task.index
                 limit 1
                 for update skip locked
             ) as own
             limit 1
         )
         update task
         set state = 'running', attempt = attempt + 1, worker = $1, progress = null, not_before = null,
             started_at = clock_timestamp(), lease_expires_at = clock_timestamp() + make_interval(secs => $2)
         from next where task.id = next.id
         returning task.id, job_id, stage, index, attempt, plan, checkpoint",
        worker,
        lease.as_secs_f64(),
        share == Share::Jobs,
        capacity.has_gpu,
        capacity.memory_bytes.map(|bytes| bytes as i64),
        PROTOCOL as i32
    )
    .fetch_optional(executor)
    .await?;
    row.map(|row| {
        Ok(ClaimedRow {
            lease: Lease { task: row.id.into(), job: row.job_id.into(), attempt: row.attempt },
            stage: stage_of(&row.stage)?,
            index: row.index as usize,
            plan: parse(row.plan),
            checkpoint: row.checkpoint.map(BlobKey::from_row),
        })
    })
    .transpose()
}

/// Extends a lease; `false` when it is no longer held.
pub async fn heartbeat(
    executor: impl PgExecutor<'_>,
    lease: &Lease,
    length: Duration,
    progress: Option<&Progress>,
) -> Result<bool, DatabaseError> {
    let updated = sqlx::query!(
        "update task
         set lease_expires_at = clock_timestamp() + make_interval(secs => $3), progress = coalesce($4, progress)
         where id = $1 and attempt = $2 and state = 'running'",
        lease.task.uuid(),
        lease.attempt,
        length.as_secs_f64(),
        progress.map(to_json)
    )
    .execute(executor)
    .await?;
    Ok(updated.rows_affected() == 1)
}

/// Records where the next attempt can go on: workers that were lost before then did no harm.
pub async fn set_checkpoint(executor: impl PgExecutor<'_>, lease: &Lease, blob: &BlobKey) -> Result<(), DatabaseError> {
    sqlx::query!(
        "update task set checkpoint = $3, losses = 0 where id = $1 and attempt = $2 and state = 'running'",
        lease.task.uuid(),
        lease.attempt,
        blob.as_str()
    )
    .execute(executor)
    .await?;
    Ok(())
}

pub async fn standing(executor: impl PgExecutor<'_>, task: TaskId) -> Result<Option<Standing>, DatabaseError> {
    let row = sqlx::query!("select state, attempt, failures, losses from task where id = $1", task.uuid())
        .fetch_optional(executor)
        .await?;
    row.map(|row| {
        let state = TaskState::parse(&row.state)?;
        Ok(Standing { state, attempt: row.attempt, failures: row.failures, losses: row.losses })
    })
    .transpose()
}

/// Records the result; returns the seconds that the attempt took, `None` when the lease is no longer held.
pub async fn set_succeeded(
    executor: impl PgExecutor<'_>,
    lease: &Lease,
    computed: &Computed,
) -> Result<Option<f64>, DatabaseError> {
    let seconds = sqlx::query_scalar!(
        r#"update task
           set state = 'succeeded', result = $3, lease_expires_at = null, finished_at = clock_timestamp()
           where id = $1 and attempt = $2 and state = 'running'
           returning extract(epoch from finished_at - started_at)::float8 as "seconds!""#,
        lease.task.uuid(),
        lease.attempt,
        to_json(computed)
    )
    .fetch_optional(executor)
    .await?;
    Ok(seconds)
}

/// What a leased task is queued again with.
#[derive(Debug, Clone, Copy, Default)]
pub struct Again {
    /// Added to its count of failures.
    pub failures: i32,
    /// Added to its count of lost workers.
    pub losses: i32,
    /// It is not claimed before this time has passed.
    pub pause: Duration,
}

/// Queues a leased task again, or holds it while its job is paused; returns the seconds that the attempt took, `None` when the lease is no
/// longer held.
pub async fn requeue(executor: impl PgExecutor<'_>, lease: &Lease, again: Again) -> Result<Option<f64>, DatabaseError> {
    let seconds = sqlx::query_scalar!(
        r#"update task
           set state = case when job.paused_at is null then 'queued' else 'held' end,
               lease_expires_at = null, worker = null, failures = failures + $3, losses = losses + $4,
               not_before = case when $5::float8 > 0 then clock_timestamp() + make_interval(secs => $5) end
           from job
           where task.id = $1 and attempt = $2 and state = 'running' and job.id = task.job_id
           returning extract(epoch from clock_timestamp() - task.started_at)::float8 as "seconds!""#,
        lease.task.uuid(),
        lease.attempt,
        again.failures,
        again.losses,
        again.pause.as_secs_f64()
    )
    .fetch_optional(executor)
    .await?;
    Ok(seconds)
}

/// Ends a task that has failed too often; returns the seconds that the attempt took, `None` when the lease is no longer held.
pub async fn set_failed(executor: impl PgExecutor<'_>, lease: &Lease) -> Result<Option<f64>, DatabaseError> {
    let seconds = sqlx::query_scalar!(
        r#"update task
           set state = 'failed', lease_expires_at = null, failures = failures + 1, finished_at = clock_timestamp()
           where id = $1 and attempt = $2 and state = 'running'
           returning extract(epoch from finished_at - started_at)::float8 as "seconds!""#,
        lease.task.uuid(),
        lease.attempt
    )
    .fetch_optional(executor)
    .await?;
    Ok(seconds)
}

/// Ends a task whose job was cancelled or has failed, while its worker still holds the lease; returns as [`set_failed`] does.
pub async fn set_cancelled(executor: impl PgExecutor<'_>, lease: &Lease) -> Result<Option<f64>, DatabaseError> {
    let seconds = sqlx::query_scalar!(
        r#"update task set state = 'cancelled', lease_expires_at = null, finished_at = clock_timestamp()
           where id = $1 and attempt = $2 and state = 'running'
           returning extract(epoch from finished_at - started_at)::float8 as "seconds!""#,
        lease.task.uuid(),
        lease.attempt
    )
    .fetch_optional(executor)
    .await?;
    Ok(seconds)
}

/// Leases that have run out, oldest first.
pub async fn expired(executor: impl PgExecutor<'_>) -> Result<Vec<Lease>, DatabaseError> {
    let rows = sqlx::query_as!(
        LeaseRow,
        "select id, job_id, attempt from task
         where state = 'running' and lease_expires_at < clock_timestamp()
         order by lease_expires_at limit 100"
    )
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(Lease::from).collect())
}

/// Whether a lease has run out by now.
pub async fn is_expired(executor: impl PgExecutor<'_>, lease: &Lease) -> Result<bool, DatabaseError> {
    let row = sqlx::query_scalar!(
        "select id from task
         where id = $1 and attempt = $2 and state = 'running' and lease_expires_at < clock_timestamp()",
        lease.task.uuid(),
        lease.attempt
    )
    .fetch_optional(executor)
    .await?;
    Ok(row.is_some())
}

/// The leases that a process holds, by what stands before the slash in `task.worker`.
pub async fn held_by(executor: impl PgExecutor<'_>, worker: &str) -> Result<Vec<Lease>, DatabaseError> {
    let rows = sqlx::query_as!(
        LeaseRow,
        "select id, job_id, attempt from task where state = 'running' and split_part(worker, '/', 1) = $1",
        worker
    )
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(Lease::from).collect())
}

/// Whether a lease is held by this process and no later one.
pub async fn is_held_by(executor: impl PgExecutor<'_>, lease: &Lease, worker: &str) -> Result<bool, DatabaseError> {
    let row = sqlx::query_scalar!(
        "select id from task
         where id = $1 and attempt = $2 and state = 'running' and split_part(worker, '/', 1) = $3",
        lease.task.uuid(),
        lease.attempt,
        worker
    )
    .fetch_optional(executor)
    .await?;
    Ok(row.is_some())
}

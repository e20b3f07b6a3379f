//! `task`: the queue. A lease sits on the row, `attempt` fences every write of its holder.

use std::time::Duration;

use secateur_core::recovery::Judgement;
use secateur_core::stage::judge::JudgeWork;
use secateur_core::stage::{FinishedTask, PlannedTask, Stage, TaskResult, TaskTime, Work};
use secateur_core::wire::{Computed, Progress};
use serde_json::Value;
use sqlx::PgExecutor;
use time::OffsetDateTime;
use uuid::Uuid;

use super::to_json;
use crate::blob::BlobKey;
use crate::database::DatabaseError;
use crate::id::{JobId, TaskId};
use crate::job::TaskProgress;

/// The right to write to a task: taken by a claim, worthless once the task is claimed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    pub task: TaskId,
    pub job: JobId,
    pub attempt: i32,
}

/// The two kinds of work that no slot mixes: neither may keep the other waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// The stages of jobs, which take minutes to hours.
    Jobs,
    /// Looks at uploaded models, which take seconds.
    Inspections,
}

/// What a claim gives.
#[derive(Debug, Clone)]
pub struct ClaimedRow {
    pub lease: Lease,
    pub stage: Stage,
    pub plan: PlannedTask,
    /// What an earlier attempt left.
    pub checkpoint: Option<BlobKey>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskState {
    Queued,
    Running,
    /// For somebody outside, until its deadline; no worker claims it.
    Waiting,
    Succeeded,
    Failed,
    Cancelled,
}

impl TaskState {
    fn parse(name: &str) -> Result<Self, DatabaseError> {
        match name {
            "queued" => Ok(Self::Queued),
            "running" => Ok(Self::Running),
            "waiting" => Ok(Self::Waiting),
            "succeeded" => Ok(Self::Succeeded),
            "failed" => Ok(Self::Failed),
            "cancelled" => Ok(Self::Cancelled),
            other => Err(DatabaseError::unreadable("task", format!("state {other}"))),
        }
    }
}

/// Where a task stands, for those who hold or look for a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub state: TaskState,
    pub attempt: i32,
    pub failures: i32,
}

fn stage_of(name: &str) -> Result<Stage, DatabaseError> {
    Stage::parse(name).ok_or_else(|| DatabaseError::unreadable("task", format!("stage {name}")))
}

fn parse<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, DatabaseError> {
    serde_json::from_value(value).map_err(|error| DatabaseError::unreadable("task", error))
}

pub async fn insert(
    executor: impl PgExecutor<'_>,
    job: JobId,
    stage: Stage,
    plan: &PlannedTask,
) -> Result<(), DatabaseError> {
    sqlx::query!(
        "insert into task (id, job_id, stage, index, plan) values ($1, $2, $3, $4, $5)",
        TaskId::generate().uuid(),
        job.uuid(),
        stage.as_str(),
        plan.index as i32,
        to_json(plan)
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Inserts a task that waits for somebody outside; returns when it has waited long enough.
pub async fn insert_waiting(
    executor: impl PgExecutor<'_>,
    job: JobId,
    plan: &PlannedTask,
    longest: Duration,
    progress: &Progress,
) -> Result<OffsetDateTime, DatabaseError> {
    let deadline = sqlx::query_scalar!(
        r#"insert into task (id, job_id, stage, index, plan, state, deadline, progress)
           values ($1, $2, $3, $4, $5, 'waiting', clock_timestamp() + make_interval(secs => $6), $7)
           returning deadline as "deadline!""#,
        TaskId::generate().uuid(),
        job.uuid(),
        plan.work.stage().as_str(),
        plan.index as i32,
        to_json(plan),
        longest.as_secs_f64(),
        to_json(progress)
    )
    .fetch_one(executor)
    .await?;
    Ok(deadline)
}

/// The task in which a job asks its judge.
#[derive(Debug, Clone)]
pub struct JudgeTask {
    pub id: TaskId,
    pub state: TaskState,
    pub work: JudgeWork,
    /// How it ended.
    pub judgement: Option<Judgement>,
    pub asked_at: OffsetDateTime,
    pub deadline: OffsetDateTime,
    /// Whether the deadline has passed.
    pub is_overdue: bool,
}

pub async fn judge_task(executor: impl PgExecutor<'_>, job: JobId) -> Result<Option<JudgeTask>, DatabaseError> {
    let row = sqlx::query!(
        r#"select id, state, plan, result, created_at, deadline as "deadline!",
                  deadline <= clock_timestamp() as "is_overdue!"
           from task where job_id = $1 and stage = 'judge' and index = 0"#,
        job.uuid()
    )
    .fetch_optional(executor)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let of_another_stage =
        || DatabaseError::unreadable("task", "a task of the stage judge that is of another".to_owned());
    let Work::Judge(work) = parse::<PlannedTask>(row.plan)?.work else { return Err(of_another_stage()) };
    let judgement = match row.result.map(parse::<Computed>).transpose()?.map(|computed| computed.result) {
        Some(TaskResult::Judge(result)) => Some(result.judgement),
        Some(_) => return Err(of_another_stage()),
        None => None,
    };
    Ok(Some(JudgeTask {
        id: row.id.into(),
        state: TaskState::parse(&row.state)?,
        work,
        judgement,
        asked_at: row.created_at,
        deadline: row.deadline,
        is_overdue: row.is_overdue,
    }))
}

/// Jobs with a task that has waited long enough, the longest overdue first.
pub async fn overdue(executor: impl PgExecutor<'_>) -> Result<Vec<JobId>, DatabaseError> {
    let rows = sqlx::query_scalar!(
        "select job_id from task where state = 'waiting' and deadline <= clock_timestamp() order by deadline limit 100"
    )
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(JobId::from).collect())
}

/// Records how far the answers to a waiting task are.
pub async fn set_progress(
    executor: impl PgExecutor<'_>,
    task: TaskId,
    progress: &Progress,
) -> Result<(), DatabaseError> {
    sqlx::query!("update task set progress = $2 where id = $1 and state = 'waiting'", task.uuid(), to_json(progress))
        .execute(executor)
        .await?;
    Ok(())
}

/// Ends a waiting task with its result: all its time was waiting.
pub async fn set_answered(
    executor: impl PgExecutor<'_>,
    task: TaskId,
    computed: &Computed,
) -> Result<(), DatabaseError> {
    sqlx::query!(
        "update task
         set state = 'succeeded', result = $2, started_at = ended.at, finished_at = ended.at
         from (select clock_timestamp() as at) as ended
         where id = $1 and state = 'waiting'",
        task.uuid(),
        to_json(computed)
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Leases the first queued task of the oldest job, or of the oldest inspection, passing over rows that another claim is about to
/// take.
pub async fn claim(
    executor: impl PgExecutor<'_>,
    worker: &str,
    share: Share,
    lease: Duration,
) -> Result<Option<ClaimedRow>, DatabaseError> {
    let row = sqlx::query!(
        "with next as materialized (
             select id from task where state = 'queued' and (stage <> 'inspect') = $3 order by job_id, index limit 1
             for update skip locked
         )
         update task
         set state = 'running', attempt = attempt + 1, worker = $1, progress = null,
             started_at = clock_timestamp(), lease_expires_at = clock_timestamp() + make_interval(secs => $2)
         from next where task.id = next.id
         returning task.id, job_id, stage, attempt, plan, checkpoint",
        worker,
        lease.as_secs_f64(),
        share == Share::Jobs
    )
    .fetch_optional(executor)
    .await?;
    row.map(|row| {
        Ok(ClaimedRow {
            lease: Lease { task: row.id.into(), job: row.job_id.into(), attempt: row.attempt },
            stage: stage_of(&row.stage)?,
            plan: parse(row.plan)?,
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

/// Records where the next attempt can go on.
pub async fn set_checkpoint(executor: impl PgExecutor<'_>, lease: &Lease, blob: &BlobKey) -> Result<(), DatabaseError> {
    sqlx::query!(
        "update task set checkpoint = $3 where id = $1 and attempt = $2 and state = 'running'",
        lease.task.uuid(),
        lease.attempt,
        blob.as_str()
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Records what arrays of `prepared` a task is offered or has used; they stay until its job has ended.
pub async fn set_prepared(
    executor: impl PgExecutor<'_>,
    task: TaskId,
    prepared: Option<&BlobKey>,
) -> Result<(), DatabaseError> {
    sqlx::query!("update task set prepared = $2 where id = $1", task.uuid(), prepared.map(BlobKey::as_str))
        .execute(executor)
        .await?;
    Ok(())
}

/// The arrays of `prepared` that a job uses.
pub async fn prepared(executor: impl PgExecutor<'_>, job: JobId) -> Result<Option<BlobKey>, DatabaseError> {
    let blob = sqlx::query_scalar!(
        r#"select prepared as "prepared!" from task where job_id = $1 and stage = 'prepare' and prepared is not null"#,
        job.uuid()
    )
    .fetch_optional(executor)
    .await?;
    Ok(blob.map(BlobKey::from_row))
}

pub async fn standing(executor: impl PgExecutor<'_>, task: TaskId) -> Result<Option<Standing>, DatabaseError> {
    let row = sqlx::query!("select state, attempt, failures from task where id = $1", task.uuid())
        .fetch_optional(executor)
        .await?;
    row.map(|row| Ok(Standing { state: TaskState::parse(&row.state)?, attempt: row.attempt, failures: row.failures }))
        .transpose()
}

/// Which task of which stage a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    pub stage: Stage,
    pub index: usize,
}

pub async fn position(executor: impl PgExecutor<'_>, task: TaskId) -> Result<Option<Position>, DatabaseError> {
    let row = sqlx::query!("select stage, index from task where id = $1", task.uuid()).fetch_optional(executor).await?;
    row.map(|row| Ok(Position { stage: stage_of(&row.stage)?, index: row.index as usize })).transpose()
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

/// Queues a leased task again; `failures` are added to its count.
pub async fn requeue(executor: impl PgExecutor<'_>, lease: &Lease, failures: i32) -> Result<(), DatabaseError> {
    sqlx::query!(
        "update task
         set state = 'queued', lease_expires_at = null, worker = null, failures = failures + $3
         where id = $1 and attempt = $2 and state = 'running'",
        lease.task.uuid(),
        lease.attempt,
        failures
    )
    .execute(executor)
    .await?;
    Ok(())
}

pub async fn set_failed(executor: impl PgExecutor<'_>, lease: &Lease) -> Result<(), DatabaseError> {
    sqlx::query!(
        "update task
         set state = 'failed', lease_expires_at = null, failures = failures + 1, finished_at = clock_timestamp()
         where id = $1 and attempt = $2 and state = 'running'",
        lease.task.uuid(),
        lease.attempt
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Ends a task whose job was cancelled or has failed, while its worker still holds the lease.
pub async fn set_cancelled(executor: impl PgExecutor<'_>, lease: &Lease) -> Result<(), DatabaseError> {
    sqlx::query!(
        "update task set state = 'cancelled', lease_expires_at = null, finished_at = clock_timestamp()
         where id = $1 and attempt = $2 and state = 'running'",
        lease.task.uuid(),
        lease.attempt
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Ends the tasks of a job that wait for a worker, or for somebody outside.
pub async fn cancel_queued(executor: impl PgExecutor<'_>, job: JobId) -> Result<(), DatabaseError> {
    sqlx::query!(
        "update task set state = 'cancelled', finished_at = clock_timestamp()
         where job_id = $1 and state in ('queued', 'waiting')",
        job.uuid()
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Leases that have run out, oldest first.
pub async fn expired(executor: impl PgExecutor<'_>) -> Result<Vec<Lease>, DatabaseError> {
    let rows = sqlx::query!(
        "select id, job_id, attempt from task
         where state = 'running' and lease_expires_at < clock_timestamp()
         order by lease_expires_at limit 100"
    )
    .fetch_all(executor)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Lease { task: row.id.into(), job: row.job_id.into(), attempt: row.attempt })
        .collect())
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

/// Whether every task of a stage has succeeded.
pub async fn is_stage_done(executor: impl PgExecutor<'_>, job: JobId, stage: Stage) -> Result<bool, DatabaseError> {
    let unfinished = sqlx::query_scalar!(
        r#"select count(*) as "count!" from task where job_id = $1 and stage = $2 and state <> 'succeeded'"#,
        job.uuid(),
        stage.as_str()
    )
    .fetch_one(executor)
    .await?;
    Ok(unfinished == 0)
}

/// The tasks of a job that have succeeded, as the planner wants them.
pub async fn finished(executor: impl PgExecutor<'_>, job: JobId) -> Result<Vec<FinishedTask>, DatabaseError> {
    let rows = sqlx::query!(
        r#"select stage, index, result as "result!",
                  array(select name from artifact where artifact.job_id = task.job_id and artifact.stage = task.stage
                            and artifact.index = task.index order by name) as "files!",
                  extract(epoch from finished_at - started_at)::float8 as "running!",
                  extract(epoch from started_at - created_at)::float8 as "waiting!"
           from task where job_id = $1 and state = 'succeeded' order by created_at, index"#,
        job.uuid()
    )
    .fetch_all(executor)
    .await?;
    rows.into_iter()
        .map(|row| {
            let Computed { result, device, computing_s } = parse(row.result)?;
            Ok(FinishedTask {
                stage: stage_of(&row.stage)?,
                index: row.index as usize,
                result,
                files: row.files,
                time: TaskTime {
                    waiting: row.waiting.max(0.0),
                    running: row.running,
                    computing: computing_s.unwrap_or(row.running).min(row.running),
                },
                device,
            })
        })
        .collect()
}

/// The progress of every task of the given jobs.
pub async fn progress(
    executor: impl PgExecutor<'_>,
    jobs: &[JobId],
) -> Result<Vec<(JobId, TaskProgress)>, DatabaseError> {
    let ids: Vec<Uuid> = jobs.iter().map(|job| job.uuid()).collect();
    let rows = sqlx::query!(
        "select job_id, stage, state, progress, deadline from task where job_id = any($1) order by created_at, index",
        &ids
    )
    .fetch_all(executor)
    .await?;
    rows.into_iter()
        .map(|row| {
            let state = TaskState::parse(&row.state)?;
            let progress = TaskProgress {
                stage: stage_of(&row.stage)?,
                succeeded: state == TaskState::Succeeded,
                running: state == TaskState::Running,
                progress: row.progress.map(parse).transpose()?,
                deadline: row.deadline,
            };
            Ok((row.job_id.into(), progress))
        })
        .collect()
}

/// Adds to a task's log; the oldest lines go when it is longer than `longest` characters.
pub async fn append_log(
    executor: impl PgExecutor<'_>,
    task: TaskId,
    text: &str,
    longest: i32,
) -> Result<(), DatabaseError> {
    sqlx::query!("update task set log = right(log || $2, $3) where id = $1", task.uuid(), text, longest)
        .execute(executor)
        .await?;
    Ok(())
}

/// The logs of a job's tasks in the order in which they ran.
pub async fn logs(executor: impl PgExecutor<'_>, job: JobId) -> Result<Vec<(Stage, usize, String)>, DatabaseError> {
    let rows = sqlx::query!(
        "select stage, index, log from task where job_id = $1 and log <> '' order by created_at, index",
        job.uuid()
    )
    .fetch_all(executor)
    .await?;
    rows.into_iter().map(|row| Ok((stage_of(&row.stage)?, row.index as usize, row.log))).collect()
}

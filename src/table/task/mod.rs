//! `task`: the queue. A lease sits on the row, `attempt` fences every write of its holder ([`lease`]); a task that waits for somebody
//! outside has a deadline instead ([`waiting`]).

pub mod lease;
pub mod waiting;

use std::collections::BTreeMap;

use secateur_core::stage::{FinishedTask, PlannedTask, Stage, TaskTime};
use secateur_core::wire::{Computed, PROTOCOL};
use serde_json::Value;
use sqlx::PgExecutor;
use uuid::Uuid;

use super::to_json;
use crate::blob::BlobKey;
use crate::database::DatabaseError;
use crate::id::{JobId, TaskId};
use crate::job::TaskProgress;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskState {
    Queued,
    /// The job is paused.
    Held,
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
            "held" => Ok(Self::Held),
            "running" => Ok(Self::Running),
            "waiting" => Ok(Self::Waiting),
            "succeeded" => Ok(Self::Succeeded),
            "failed" => Ok(Self::Failed),
            "cancelled" => Ok(Self::Cancelled),
            other => Err(DatabaseError::unreadable("task", format!("state {other}"))),
        }
    }
}

fn stage_of(name: &str) -> Result<Stage, DatabaseError> {
    Stage::parse(name).ok_or_else(|| DatabaseError::unreadable("task", format!("stage {name}")))
}

fn parse<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, DatabaseError> {
    serde_json::from_value(value).map_err(|error| DatabaseError::unreadable("task", error))
}

/// What a worker must have to take the tasks of a job.
#[derive(Debug, Clone, Copy, Default)]
pub struct Needs {
    /// `None`: with a GPU or without.
    pub gpu: Option<bool>,
    pub memory_bytes: Option<u64>,
}

/// What all tasks of a job have in common for those who choose among tasks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Terms {
    pub priority: i32,
    pub needs: Needs,
}

/// Inserts a task: `queued`, or `held` while its job is paused.
pub async fn insert(
    executor: impl PgExecutor<'_>,
    job: JobId,
    stage: Stage,
    plan: &PlannedTask,
    terms: Terms,
) -> Result<(), DatabaseError> {
    sqlx::query!(
        "insert into task (id, job_id, stage, index, plan, state, tenant, priority, needs_gpu, needs_memory, protocol)
         select $1, job.id, $3, $4, $5, case when paused_at is null then 'queued' else 'held' end, tenant, $6, $7, $8, $9
         from job where job.id = $2",
        TaskId::generate().uuid(),
        job.uuid(),
        stage.as_str(),
        plan.index as i32,
        to_json(plan),
        terms.priority,
        terms.needs.gpu,
        terms.needs.memory_bytes.map(|bytes| bytes as i64),
        PROTOCOL as i32
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Takes the tasks of a job out of the queue, those that run apart.
pub async fn hold(executor: impl PgExecutor<'_>, job: JobId) -> Result<(), DatabaseError> {
    sqlx::query!("update task set state = 'held' where job_id = $1 and state = 'queued'", job.uuid())
        .execute(executor)
        .await?;
    Ok(())
}

/// Puts the tasks of a job back into the queue.
pub async fn release(executor: impl PgExecutor<'_>, job: JobId) -> Result<(), DatabaseError> {
    sqlx::query!("update task set state = 'queued' where job_id = $1 and state = 'held'", job.uuid())
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

/// Ends the tasks of a job that wait for a worker, or for somebody outside.
pub async fn cancel_queued(executor: impl PgExecutor<'_>, job: JobId) -> Result<(), DatabaseError> {
    sqlx::query!(
        "update task set state = 'cancelled', finished_at = clock_timestamp()
         where job_id = $1 and state in ('queued', 'held', 'waiting')",
        job.uuid()
    )
    .execute(executor)
    .await?;
    Ok(())
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

/// The seconds that each stage took of the latest job of the like that went well: on the same model and data set, with the same method.
/// A judge's time is not among them.
pub async fn seconds_of_the_like(
    executor: impl PgExecutor<'_>,
    job: JobId,
) -> Result<BTreeMap<Stage, f64>, DatabaseError> {
    let rows = sqlx::query!(
        r#"select stage, extract(epoch from max(finished_at) - min(started_at))::float8 as "seconds!"
           from task
           where stage <> 'judge' and job_id = (
               select earlier.id from job as earlier
               join job as this on this.tenant = earlier.tenant and this.model_id = earlier.model_id
                                   and this.dataset_id is not distinct from earlier.dataset_id
                                   and this.spec -> 'method' is not distinct from earlier.spec -> 'method'
               where this.id = $1 and earlier.status = 'succeeded' and earlier.kind = 'prune'
               order by earlier.id desc limit 1
           ) and started_at is not null and finished_at is not null
           group by stage"#,
        job.uuid()
    )
    .fetch_all(executor)
    .await?;
    rows.into_iter().map(|row| Ok((stage_of(&row.stage)?, row.seconds))).collect()
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

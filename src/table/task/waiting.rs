//! Tasks that no worker takes: they wait for somebody outside, until a deadline on the database's clock.

use std::time::Duration;

use secateur_core::recovery::Judgement;
use secateur_core::stage::judge::JudgeWork;
use secateur_core::stage::{PlannedTask, TaskResult, Work};
use secateur_core::wire::{Computed, Progress};
use sqlx::PgExecutor;
use time::OffsetDateTime;

use super::{TaskState, parse};
use crate::database::DatabaseError;
use crate::id::{JobId, TaskId};
use crate::table::to_json;

/// Inserts a task that waits for somebody outside; returns when it has waited long enough.
pub async fn insert(
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

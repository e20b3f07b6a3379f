//! What there is of everything, over all tables and tenants: for metrics.

use std::time::Duration;

use serde::Deserialize;
use sqlx::PgExecutor;
use sqlx::types::Json;

use crate::database::DatabaseError;

/// Tasks of one stage in one state.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct TaskFigures {
    pub stage: String,
    pub state: String,
    pub count: u64,
    /// Seconds since the oldest of them was planned.
    pub oldest_s: f64,
}

/// Jobs of one status.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct JobFigures {
    pub status: String,
    pub count: u64,
}

/// Bytes to which rows refer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredBytes {
    pub models: u64,
    pub datasets: u64,
    pub artifacts: u64,
    pub prepared: u64,
}

/// What there is.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// Of tasks that have not ended; a stage and state without any has no row.
    pub tasks: Vec<TaskFigures>,
    /// Without inspections.
    pub jobs: Vec<JobFigures>,
    pub stored: StoredBytes,
}

/// Ends every later statement of the transaction that takes longer.
pub async fn bound(executor: impl PgExecutor<'_>, longest: Duration) -> Result<(), DatabaseError> {
    let longest = format!("{}ms", longest.as_millis());
    sqlx::query("select set_config('statement_timeout', $1, true)").bind(longest).execute(executor).await?;
    Ok(())
}

pub async fn read(executor: impl PgExecutor<'_>) -> Result<Figures, DatabaseError> {
    // Each state by itself, so that each has its partial index.
    let row = sqlx::query!(
        r#"with open_task as (
               select stage, state, created_at from task where state = 'queued'
               union all select stage, state, created_at from task where state = 'held'
               union all select stage, state, created_at from task where state = 'running'
               union all select stage, state, created_at from task where state = 'waiting'
           ), by_stage as (
               select stage, state, count(*) as count,
                      extract(epoch from clock_timestamp() - min(created_at))::float8 as oldest_s
               from open_task group by stage, state
           ), by_status as (
               select status, count(*) as count from job where kind = 'prune' group by status
           )
           select
               (select coalesce(json_agg(by_stage), '[]') from by_stage) as "tasks!: Json<Vec<TaskFigures>>",
               (select coalesce(json_agg(by_status), '[]') from by_status) as "jobs!: Json<Vec<JobFigures>>",
               (select coalesce(sum(bytes), 0) from model where deleted_at is null)::bigint as "models!",
               (select coalesce(sum(bytes), 0) from dataset where deleted_at is null)::bigint as "datasets!",
               (select coalesce(sum(bytes), 0) from artifact)::bigint as "artifacts!",
               (select coalesce(sum(bytes), 0) from prepared)::bigint as "prepared!""#
    )
    .fetch_one(executor)
    .await?;
    Ok(Figures {
        tasks: row.tasks.0,
        jobs: row.jobs.0,
        stored: StoredBytes {
            models: row.models as u64,
            datasets: row.datasets as u64,
            artifacts: row.artifacts as u64,
            prepared: row.prepared as u64,
        },
    })
}

//! `worker`: the processes that claim tasks, for those who look for tasks whose process is gone and for operators.

use sqlx::PgExecutor;

use crate::database::DatabaseError;

/// A process that claims tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewWorker {
    /// Unique, without a slash.
    pub name: String,
    pub process: Process,
    pub version: &'static str,
    pub protocol: u32,
    pub slots: usize,
    pub has_gpu: bool,
    /// For each slot.
    pub memory_bytes: Option<u64>,
}

/// A process of a machine, told from every other that had its number before or has it after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// The boot of the machine and its namespace of process ids.
    pub machine: String,
    pub pid: i32,
    /// When it began, in ticks since the boot.
    pub began: i64,
}

pub async fn insert(executor: impl PgExecutor<'_>, worker: &NewWorker) -> Result<(), DatabaseError> {
    sqlx::query!(
        "insert into worker (name, machine, pid, pid_began, version, protocol, slots, has_gpu, memory_bytes)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         on conflict (name) do update set seen_at = clock_timestamp()",
        worker.name,
        worker.process.machine,
        worker.process.pid,
        worker.process.began,
        worker.version,
        worker.protocol as i32,
        worker.slots as i32,
        worker.has_gpu,
        worker.memory_bytes.map(|bytes| bytes as i64)
    )
    .execute(executor)
    .await?;
    Ok(())
}

pub async fn delete(executor: impl PgExecutor<'_>, name: &str) -> Result<(), DatabaseError> {
    sqlx::query!("delete from worker where name = $1", name).execute(executor).await?;
    Ok(())
}

/// Deletes those that nobody has heard of for a day.
pub async fn delete_forgotten(executor: impl PgExecutor<'_>) -> Result<(), DatabaseError> {
    sqlx::query!("delete from worker where seen_at < clock_timestamp() - interval '1 day'").execute(executor).await?;
    Ok(())
}

/// The workers of a machine, by name.
pub async fn of_machine(executor: impl PgExecutor<'_>, machine: &str) -> Result<Vec<(String, Process)>, DatabaseError> {
    let rows = sqlx::query!("select name, machine, pid, pid_began from worker where machine = $1", machine)
        .fetch_all(executor)
        .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.name, Process { machine: row.machine, pid: row.pid, began: row.pid_began }))
        .collect())
}

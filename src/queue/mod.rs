//! The queue is the stage machine: it moves jobs and tasks from one state to the next, one transaction per step.
//!
//! The API submits, pauses, resumes, cancels and deletes; a worker claims, heartbeats and then finishes, fails or gives back; the reaper
//! takes tasks from workers that fell silent or whose process is gone, and ends what has taken its time. What is guaranteed:
//!
//! - a claimed task belongs to one worker until its lease runs out on the database's clock;
//! - a write carries the claim's `attempt`, and a claim after it makes it void;
//! - every step that touches a job locks its row first, so the last two tasks of a stage that finish at the same time
//!   create the next stage once, and events have no gaps;
//! - a judgement that is waited for is in no worker's hands, and ends once, with its last score or by the reaper;
//! - of a paused job no task is claimed, and what runs is given back;
//! - a crash between two steps loses nothing: either the transaction was committed or the lease runs out.

mod advance;
mod cancel;
mod checkpoint;
mod claim;
mod delete;
mod events;
mod fail;
mod finish;
mod heartbeat;
mod judge;
mod measurements;
mod outbox;
mod pause;
mod prepared;
mod reap;
mod reconcile;
mod redeliver;
mod submit;
mod workers;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::database::{Database, DatabaseError, Transaction};
use crate::id::JobId;
use crate::table::task::lease::{self, Lease};
use crate::table::{job, task, tenant_share};

pub use crate::table::task::lease::{Capacity, Share};
pub use crate::table::worker::{NewWorker, Process};
pub use cancel::Cancellation;
pub use claim::{ClaimedTask, InputBlob};
pub use delete::{Deletion, Reason};
pub use fail::{Failure, MAX_CRASHES, MAX_FAILURES, MAX_LOSSES};
pub use finish::{Finished, finish_in};
pub use heartbeat::{Beat, Report};
pub use judge::Judging;
pub use pause::Pausing;
pub use prepared::{ForLaterJobs, fingerprint};
pub use submit::{NewSubmission, Submitted};

/// How long a claim lasts without a heartbeat.
pub const LEASE: Duration = Duration::from_mins(1);

/// The least time before a task that has failed is tried again; it grows with every failure.
pub const RETRY_PAUSE: Duration = Duration::from_secs(2);

/// Characters of log that a task keeps.
const LONGEST_LOG: i32 = 256 * 1024;

/// The steps; clones share the pool.
#[derive(Debug, Clone)]
pub struct Queue {
    database: Database,
    lease: Duration,
    retry_pause: Duration,
    /// Tasks taken from silent workers since they were last asked for.
    lease_expiries: Arc<AtomicU64>,
}

/// What became of a write that carried a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// It counts.
    Accepted,
    /// The job is cancelled, failed or deleted: stop, nothing is wanted any more.
    Cancelled,
    /// Another worker holds the task, or may take it: stop and write nothing.
    LeaseLost,
    /// The job is paused: stop, and give the task back.
    Paused,
}

impl Queue {
    pub fn new(database: Database, lease: Duration) -> Self {
        Self { database, lease, retry_pause: RETRY_PAUSE, lease_expiries: Arc::default() }
    }

    /// The same queue with another pause before a task that has failed is tried again.
    #[must_use]
    pub fn with_retry_pause(self, retry_pause: Duration) -> Self {
        Self { retry_pause, ..self }
    }

    pub fn database(&self) -> &Database {
        &self.database
    }

    pub fn lease(&self) -> Duration {
        self.lease
    }

    /// Tasks that were taken from silent workers since the last call, by this queue and its clones.
    pub fn take_lease_expiries(&self) -> u64 {
        self.lease_expiries.swap(0, Ordering::Relaxed)
    }
}

/// Locks a lease's job and says whether the lease still counts.
async fn lock_for(transaction: &mut Transaction, lease: &Lease) -> Result<Result<job::Job, Written>, DatabaseError> {
    if !job::lock(&mut **transaction, lease.job).await? {
        return Ok(Err(Written::Cancelled));
    }
    let job = job::find(&mut **transaction, lease.job).await?.expect("a locked row is there");
    let standing = lease::standing(&mut **transaction, lease.task).await?;
    let holds_lease = standing
        .is_some_and(|standing| standing.attempt == lease.attempt && standing.state == task::TaskState::Running);
    if !holds_lease {
        return Ok(Err(Written::LeaseLost));
    }
    if job.status.is_final() {
        let seconds = lease::set_cancelled(&mut **transaction, lease).await?;
        account(transaction, lease.job, seconds).await?;
        return Ok(Err(Written::Cancelled));
    }
    Ok(Ok(job))
}

/// Puts the seconds of an attempt that has ended on the accounts of its job, which is locked, and of its tenant.
async fn account(transaction: &mut Transaction, job: JobId, seconds: Option<f64>) -> Result<(), DatabaseError> {
    let Some(seconds) = seconds else { return Ok(()) };
    let tenant = job::add_seconds(&mut **transaction, job, seconds).await?;
    tenant_share::add(&mut **transaction, &tenant, seconds).await
}

/// Tells those who wait for a job that it changed; sent when the transaction commits.
async fn notify_job(transaction: &mut Transaction, job: JobId) -> Result<(), DatabaseError> {
    notify(transaction, crate::database::JOB_CHANNEL, &job.to_string()).await
}

/// Tells the workers of a job that its running tasks are no longer wanted.
async fn notify_stop(transaction: &mut Transaction, job: JobId) -> Result<(), DatabaseError> {
    notify(transaction, crate::database::STOP_CHANNEL, &job.to_string()).await
}

/// Tells idle workers that there is work.
async fn notify_tasks(transaction: &mut Transaction) -> Result<(), DatabaseError> {
    notify(transaction, crate::database::TASK_CHANNEL, "").await
}

/// Tells the deliverers that a webhook has to be told something.
async fn notify_webhooks(transaction: &mut Transaction) -> Result<(), DatabaseError> {
    notify(transaction, crate::database::WEBHOOK_CHANNEL, "").await
}

async fn notify(transaction: &mut Transaction, channel: &str, payload: &str) -> Result<(), DatabaseError> {
    sqlx::query("select pg_notify($1, $2)").bind(channel).bind(payload).execute(&mut **transaction).await?;
    Ok(())
}

//! Fail and give back: how a task ends that brought nothing.

use super::{LONGEST_LOG, Queue, Written, events, lock_for, notify_stop, notify_tasks};
use crate::database::{DatabaseError, Transaction};
use crate::id::JobId;
use crate::job::{Event, JobError};
use crate::table::task::Lease;
use crate::table::{job, task};

/// A task that crashed or lost its worker this often fails its job.
pub const MAX_FAILURES: i32 = 3;

/// A file that the engine crashed on this often is taken for the cause.
pub const MAX_CRASHES: i32 = 2;

/// Why a task brought nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The same again would end the same.
    Permanent(JobError),
    /// A crash while libtorch had the user's file in its hands: an accident once, the file's fault the next time. The error is
    /// the one for that case.
    Suspected(JobError),
    /// A crash, a lost worker, a full disk: another attempt may work.
    Retryable(JobError),
}

impl Failure {
    fn error(&self) -> &JobError {
        match self {
            Self::Permanent(error) | Self::Suspected(error) | Self::Retryable(error) => error,
        }
    }

    /// How many attempts may end in this way before the job fails.
    fn attempts(&self) -> i32 {
        match self {
            Self::Permanent(_) => 1,
            Self::Suspected(_) => MAX_CRASHES,
            Self::Retryable(_) => MAX_FAILURES,
        }
    }
}

impl Queue {
    /// Records a failure: the task is queued again, or its job fails.
    pub async fn fail(
        &self,
        lease: &Lease,
        index: usize,
        failure: &Failure,
        log: &str,
    ) -> Result<Written, DatabaseError> {
        let mut transaction = self.database.begin().await?;
        let written = fail_in(&mut transaction, lease, index, failure, log).await?;
        transaction.commit().await?;
        Ok(written)
    }

    /// Puts a task back as if it had not been claimed, for a worker that shuts down.
    pub async fn give_back(&self, lease: &Lease, log: &str) -> Result<Written, DatabaseError> {
        let mut transaction = self.database.begin().await?;
        let written = match lock_for(&mut transaction, lease).await? {
            Err(refused) => refused,
            Ok(_) => {
                task::append_log(&mut *transaction, lease.task, log, LONGEST_LOG).await?;
                task::requeue(&mut *transaction, lease, 0).await?;
                notify_tasks(&mut transaction).await?;
                Written::Accepted
            }
        };
        transaction.commit().await?;
        Ok(written)
    }
}

/// [`Queue::fail`] inside a transaction that the caller commits.
pub(super) async fn fail_in(
    transaction: &mut Transaction,
    lease: &Lease,
    index: usize,
    failure: &Failure,
    log: &str,
) -> Result<Written, DatabaseError> {
    if let Err(refused) = lock_for(transaction, lease).await? {
        return Ok(refused);
    }
    task::append_log(&mut **transaction, lease.task, log, LONGEST_LOG).await?;
    let standing = task::standing(&mut **transaction, lease.task).await?.expect("the lease was just checked");
    let mut error = failure.error().clone();
    let (failures, attempts) = (standing.failures + 1, failure.attempts());
    if failures < attempts {
        task::requeue(&mut **transaction, lease, 1).await?;
        let event = Event::TaskRetried { stage: error.stage, index, reason: error.detail };
        events::append(transaction, lease.job, &event).await?;
        notify_tasks(transaction).await?;
    } else {
        if attempts > 1 {
            error.detail = format!("{} This was attempt {failures} of {attempts}.", error.detail);
        }
        task::set_failed(&mut **transaction, lease).await?;
        end_job(transaction, lease.job, error).await?;
    }
    Ok(Written::Accepted)
}

/// Fails a job whose row is locked: what is queued dies, what runs is told at its next heartbeat.
pub(super) async fn end_job(transaction: &mut Transaction, id: JobId, error: JobError) -> Result<(), DatabaseError> {
    task::cancel_queued(&mut **transaction, id).await?;
    job::set_failed(&mut **transaction, id, &error).await?;
    events::append(transaction, id, &Event::Failed { error }).await?;
    notify_stop(transaction, id).await
}

//! Fail and give back: how a task ends that brought nothing.

use std::time::Duration;

use super::{LONGEST_LOG, Queue, Written, account, events, lock_for, notify_stop, notify_tasks};
use crate::database::{DatabaseError, Transaction};
use crate::id::JobId;
use crate::job::{Event, JobError};
use crate::table::task::lease::{self, Again, Lease};
use crate::table::{job, task};

/// A task that failed this often fails its job.
pub const MAX_FAILURES: i32 = 3;

/// A task that lost its worker or found no room this often, with no checkpoint between, fails its job. That is seldom the task's fault:
/// machines are taken away, servers are killed and disks are full.
pub const MAX_LOSSES: i32 = 10;

/// Before a task is tried again that found no room.
const LONGEST_PAUSE: Duration = Duration::from_mins(2);

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
    /// A crash: another attempt may work, a little later.
    Retryable(JobError),
    /// A disk is full, which is no fault of the task and may last.
    NoRoom(JobError),
    /// The worker is gone, and nobody knows of anything wrong with the task.
    Lost(JobError),
}

impl Failure {
    fn error(&self) -> &JobError {
        match self {
            Self::Permanent(error)
            | Self::Suspected(error)
            | Self::Retryable(error)
            | Self::NoRoom(error)
            | Self::Lost(error) => error,
        }
    }

    /// How many attempts may end in this way before the job fails.
    fn attempts(&self) -> i32 {
        match self {
            Self::Permanent(_) => 1,
            Self::Suspected(_) => MAX_CRASHES,
            Self::Retryable(_) => MAX_FAILURES,
            Self::Lost(_) | Self::NoRoom(_) => MAX_LOSSES,
        }
    }

    /// What the task is queued with for another attempt, when this was number `so_often` of its kind.
    fn again(&self, so_often: i32, retry_pause: Duration) -> Again {
        match self {
            Self::Lost(_) => Again { losses: 1, ..Again::default() },
            Self::NoRoom(_) => {
                Again { losses: 1, pause: pause_after(so_often, retry_pause).min(LONGEST_PAUSE), ..Again::default() }
            }
            _ => Again { failures: 1, pause: pause_after(so_often, retry_pause), ..Again::default() },
        }
    }
}

/// Four times as long after every failure, and spread, so that tasks that failed together are not tried together again.
fn pause_after(failures: i32, least: Duration) -> Duration {
    let mut byte = [0];
    // Without randomness the pause is the least one.
    let _ = getrandom::fill(&mut byte);
    let spread = 1.0 + f64::from(byte[0]) / 255.0;
    least.mul_f64(spread * 4_f64.powi(failures - 1))
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
        let written = fail_in(&mut transaction, lease, index, failure, self.retry_pause, log).await?;
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
                let seconds = lease::requeue(&mut *transaction, lease, Again::default()).await?;
                account(&mut transaction, lease.job, seconds).await?;
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
    retry_pause: Duration,
    log: &str,
) -> Result<Written, DatabaseError> {
    if let Err(refused) = lock_for(transaction, lease).await? {
        return Ok(refused);
    }
    task::append_log(&mut **transaction, lease.task, log, LONGEST_LOG).await?;
    let standing = lease::standing(&mut **transaction, lease.task).await?.expect("the lease was just checked");
    let mut error = failure.error().clone();
    let is_loss = matches!(failure, Failure::Lost(_) | Failure::NoRoom(_));
    let earlier = if is_loss { standing.losses } else { standing.failures };
    let (so_often, attempts) = (earlier + 1, failure.attempts());
    if so_often < attempts {
        let seconds = lease::requeue(&mut **transaction, lease, failure.again(so_often, retry_pause)).await?;
        account(transaction, lease.job, seconds).await?;
        let event = Event::TaskRetried { stage: error.stage, index, reason: error.detail };
        events::append(transaction, lease.job, &event).await?;
        notify_tasks(transaction).await?;
    } else {
        if attempts > 1 {
            error.detail = format!("{} This was attempt {so_often} of {attempts}.", error.detail);
        }
        let seconds = lease::set_failed(&mut **transaction, lease).await?;
        account(transaction, lease.job, seconds).await?;
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

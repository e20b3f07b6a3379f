//! Reap: takes tasks from workers that are lost, and ends judgements and jobs whose time is over.

use std::sync::atomic::Ordering;

use secateur_core::rejection::{Code, Rejection};

use super::fail::{Failure, end_job, fail_in};
use super::{Queue, Written};
use crate::database::DatabaseError;
use crate::id::JobId;
use crate::job::JobError;
use crate::table::task::lease::{self, Lease};
use crate::table::{job, task};

/// Why a task is taken from its worker.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cause<'a> {
    /// Nothing was heard of it for the length of a lease.
    Silence,
    /// Its process is not there any more.
    Gone { worker: &'a str },
}

impl Queue {
    /// Queues every task again whose lease has run out, or fails its job when that was too often; ends the judgements that have waited long
    /// enough and the jobs that ran longer than their specs allow. Says how many.
    pub async fn reap(&self) -> Result<usize, DatabaseError> {
        let mut reaped = self.end_judgements().await?;
        for lease in lease::expired(self.database.pool()).await? {
            reaped += usize::from(take_back(self, &lease, Cause::Silence).await? != Written::LeaseLost);
        }
        for (id, ran_s, most_s) in job::overrun(self.database.pool()).await? {
            reaped += usize::from(self.end_overrun(id, ran_s, most_s).await?);
        }
        Ok(reaped)
    }

    /// Ends a job whose tasks have run too long, unless it has ended meanwhile. Its workers are told at once.
    async fn end_overrun(&self, id: JobId, ran_s: f64, most_s: f64) -> Result<bool, DatabaseError> {
        let mut transaction = self.database.begin().await?;
        if !job::lock(&mut *transaction, id).await? {
            return Ok(false);
        }
        let job = job::find(&mut *transaction, id).await?.expect("a locked row is there");
        if job.status.is_final() {
            return Ok(false);
        }
        let detail = format!("The tasks of the job ran {ran_s:.0} s in all; `max_runtime_s` allows {most_s:.0} s.");
        let hint = "What the job has found so far stays. A clone of it takes over what it has measured.";
        let rejection = Rejection::new(Code::TimedOut, detail).at("max_runtime_s").hint(hint);
        end_job(&mut transaction, id, JobError::rejected(job.stage, rejection)).await?;
        transaction.commit().await?;
        Ok(true)
    }
}

/// The lease was found without locks, so it is looked at again under the job's lock.
pub(super) async fn take_back(queue: &Queue, lease: &Lease, cause: Cause<'_>) -> Result<Written, DatabaseError> {
    let mut transaction = queue.database.begin().await?;
    job::lock(&mut *transaction, lease.job).await?;
    let is_lost = match cause {
        Cause::Silence => lease::is_expired(&mut *transaction, lease).await?,
        Cause::Gone { worker } => lease::is_held_by(&mut *transaction, lease, worker).await?,
    };
    if !is_lost {
        return Ok(Written::LeaseLost);
    }
    let Some(row) = task::position(&mut *transaction, lease.task).await? else { return Ok(Written::LeaseLost) };
    let detail = format!("The worker of task {} of stage {} was lost.", row.index, row.stage.as_str());
    tracing::warn!(job = %lease.job, task = %lease.task, attempt = lease.attempt, ?cause, "worker lost");
    let failure = Failure::Lost(JobError::internal(row.stage, detail));
    let written = fail_in(&mut transaction, lease, row.index, &failure, queue.retry_pause, "worker lost\n").await?;
    transaction.commit().await?;
    queue.lease_expiries.fetch_add(1, Ordering::Relaxed);
    Ok(written)
}

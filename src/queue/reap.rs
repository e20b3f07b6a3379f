//! Reap: takes tasks from workers whose lease has run out, and ends judgements whose time is over.

use std::sync::atomic::Ordering;

use super::fail::{Failure, fail_in};
use super::{Queue, Written};
use crate::database::DatabaseError;
use crate::job::JobError;
use crate::table::job;
use crate::table::task::{self, Lease};

impl Queue {
    /// Queues every task again whose lease has run out, or fails its job after the third time, and ends the judgements that have waited
    /// long enough; says how many.
    pub async fn reap(&self) -> Result<usize, DatabaseError> {
        let mut reaped = self.end_judgements().await?;
        for lease in task::expired(self.database.pool()).await? {
            reaped += usize::from(self.reap_one(&lease).await? != Written::LeaseLost);
        }
        Ok(reaped)
    }

    /// The list was read without locks, so the lease is looked at again under the job's lock.
    async fn reap_one(&self, lease: &Lease) -> Result<Written, DatabaseError> {
        let mut transaction = self.database.begin().await?;
        job::lock(&mut *transaction, lease.job).await?;
        if !task::is_expired(&mut *transaction, lease).await? {
            return Ok(Written::LeaseLost);
        }
        let Some(row) = task::position(&mut *transaction, lease.task).await? else { return Ok(Written::LeaseLost) };
        let detail = format!("The worker of task {} of stage {} was lost.", row.index, row.stage.as_str());
        tracing::warn!(job = %lease.job, task = %lease.task, attempt = lease.attempt, "lease ran out");
        let failure = Failure::Retryable(JobError::internal(row.stage, detail));
        let written = fail_in(&mut transaction, lease, row.index, &failure, "worker lost\n").await?;
        transaction.commit().await?;
        self.lease_expiries.fetch_add(1, Ordering::Relaxed);
        Ok(written)
    }
}

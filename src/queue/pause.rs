//! Pause and resume: what is queued is held, and what runs is given back by its worker, who is told at once.

use super::{Queue, events, notify_stop, notify_tasks};
use crate::database::{DatabaseError, Transaction};
use crate::id::JobId;
use crate::job::{Event, JobStatus};
use crate::table::{job, task};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pausing {
    /// It is as it was asked to be, by this call or an earlier one.
    Done,
    /// It had ended already.
    HasEnded(JobStatus),
    NoSuchJob,
}

impl Queue {
    /// Holds the tasks of a job until it is resumed. A judge's deadline goes on.
    pub async fn pause(&self, id: JobId) -> Result<Pausing, DatabaseError> {
        let mut transaction = self.database.begin().await?;
        let job = match lock_open(&mut transaction, id).await? {
            Ok(job) => job,
            Err(end) => return Ok(end),
        };
        if job.paused_at.is_none() {
            job::set_paused(&mut *transaction, id, true).await?;
            task::hold(&mut *transaction, id).await?;
            events::append(&mut transaction, id, &Event::Paused {}).await?;
            notify_stop(&mut transaction, id).await?;
        }
        transaction.commit().await?;
        Ok(Pausing::Done)
    }

    /// Puts the tasks of a paused job back into the queue.
    pub async fn resume(&self, id: JobId) -> Result<Pausing, DatabaseError> {
        let mut transaction = self.database.begin().await?;
        let job = match lock_open(&mut transaction, id).await? {
            Ok(job) => job,
            Err(end) => return Ok(end),
        };
        if job.paused_at.is_some() {
            job::set_paused(&mut *transaction, id, false).await?;
            task::release(&mut *transaction, id).await?;
            events::append(&mut transaction, id, &Event::Resumed {}).await?;
            notify_tasks(&mut transaction).await?;
        }
        transaction.commit().await?;
        Ok(Pausing::Done)
    }
}

/// A job that has not ended, locked.
async fn lock_open(transaction: &mut Transaction, id: JobId) -> Result<Result<job::Job, Pausing>, DatabaseError> {
    if !job::lock(&mut **transaction, id).await? {
        return Ok(Err(Pausing::NoSuchJob));
    }
    let job = job::find(&mut **transaction, id).await?.expect("a locked row is there");
    Ok(if job.status.is_final() { Err(Pausing::HasEnded(job.status)) } else { Ok(job) })
}

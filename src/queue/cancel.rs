//! Cancel: queued tasks die at once, running ones are told at their next heartbeat.

use super::{Queue, events, notify_stop};
use crate::database::DatabaseError;
use crate::id::JobId;
use crate::job::{Event, JobStatus};
use crate::table::{job, task};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancellation {
    /// It is cancelled, by this call or an earlier one.
    Cancelled,
    /// It had ended already.
    HasEnded(JobStatus),
    NoSuchJob,
}

impl Queue {
    pub async fn cancel(&self, id: JobId) -> Result<Cancellation, DatabaseError> {
        let mut transaction = self.database.begin().await?;
        if !job::lock(&mut *transaction, id).await? {
            return Ok(Cancellation::NoSuchJob);
        }
        match job::status(&mut *transaction, id).await?.expect("a locked row is there") {
            JobStatus::Cancelled => return Ok(Cancellation::Cancelled),
            ended @ (JobStatus::Succeeded | JobStatus::Failed) => return Ok(Cancellation::HasEnded(ended)),
            JobStatus::Queued | JobStatus::Running => {}
        }
        task::cancel_queued(&mut *transaction, id).await?;
        job::set_cancelled(&mut *transaction, id).await?;
        events::append(&mut transaction, id, &Event::Cancelled {}).await?;
        notify_stop(&mut transaction, id).await?;
        transaction.commit().await?;
        Ok(Cancellation::Cancelled)
    }
}

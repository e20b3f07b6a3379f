//! Reconcile: finds jobs to which nothing would ever happen, and does what should have happened.
//!
//! Every step of a job is one transaction, so there should be none. A restored backup, a hand in the tables or a fault of ours can leave
//! one, and then it must not wait for ever.

use super::advance::{Last, advance};
use super::fail::end_job;
use super::{Queue, notify_tasks};
use crate::database::DatabaseError;
use crate::id::JobId;
use crate::job::{JobError, Order};
use crate::table::{job, task};

impl Queue {
    /// Takes every job on, or fails it, that has not ended and has no task that could go on; says how many.
    pub async fn reconcile(&self) -> Result<usize, DatabaseError> {
        let mut mended = 0;
        for id in job::stranded(self.database.pool()).await? {
            mended += usize::from(self.take_on(id).await?);
        }
        Ok(mended)
    }

    /// The list was read without locks, so the job is looked at again under its own.
    async fn take_on(&self, id: JobId) -> Result<bool, DatabaseError> {
        let mut transaction = self.database.begin().await?;
        if !job::lock(&mut *transaction, id).await? || !job::is_stranded(&mut *transaction, id).await? {
            return Ok(false);
        }
        let job = job::find(&mut *transaction, id).await?.expect("a locked row is there");
        tracing::error!(job = %id, stage = job.stage.as_str(), "a job had no task that could go on");
        let stage = job.stage;
        let finished = task::finished(&mut *transaction, id).await?;
        let is_done = task::is_stage_done(&mut *transaction, id, stage).await?;
        let last = finished.iter().rfind(|task| task.stage == stage).map(|task| task.result.clone());
        match (&job.order, last) {
            (Order::Prune(spec), Some(result)) if is_done => {
                let spec = spec.clone();
                advance(&mut transaction, job, &spec, Last { stage, result: &result }, &finished).await?;
            }
            _ => {
                let detail = format!("The job had no task left in its stage {}.", stage.as_str());
                end_job(&mut transaction, id, JobError::internal(stage, detail)).await?;
            }
        }
        notify_tasks(&mut transaction).await?;
        transaction.commit().await?;
        Ok(true)
    }
}

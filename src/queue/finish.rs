//! Finish: a task's outputs become real and, with the last task of a stage, so does the next stage.
//!
//! In the order of the code: lock the job; check the lease; record result and outputs; keep what later jobs may want to
//! have or know; update the best so far; if the stage is done, [`advance`](super::advance): insert the tasks of the next one whose results are
//! not all known from earlier jobs, or mark the job as succeeded. All of it in one transaction: two workers
//! that finish the last two tasks at once go one after the other, and only the second sees the stage done.

use secateur_core::inspection::ModelSummary;
use secateur_core::stage::Stage;
use secateur_core::wire::{Computed, Reading};

use super::advance::{Last, advance, succeed, update_best};
use super::{ForLaterJobs, LONGEST_LOG, Queue, Written, account, events, lock_for, measurements, prepared};
use crate::database::{DatabaseError, Transaction};
use crate::job::{Event, Order};
use crate::table::artifact::Output;
use crate::table::job::Job;
use crate::table::task::lease::{self, Lease};
use crate::table::task::{self, TaskState};
use crate::table::{artifact, model};

/// What a task brought.
#[derive(Debug, Clone)]
pub struct Finished {
    pub stage: Stage,
    pub index: usize,
    pub computed: Computed,
    pub outputs: Vec<Output>,
    /// What an inspection or the graph stage learnt about the model itself.
    pub summary: Option<ModelSummary>,
    /// The arrays of the stage `prepare`.
    pub for_later_jobs: ForLaterJobs,
    /// What it measured and no heartbeat has told.
    pub readings: Vec<Reading>,
    pub log: String,
}

impl Queue {
    /// Records a finished task. The same lease may say it again, in case the first answer was lost.
    pub async fn finish(&self, lease: &Lease, finished: &Finished) -> Result<Written, DatabaseError> {
        let mut transaction = self.database.begin().await?;
        let written = finish_in(&mut transaction, lease, finished).await?;
        transaction.commit().await?;
        Ok(written)
    }
}

/// [`Queue::finish`] inside a transaction that the caller commits.
pub async fn finish_in(
    transaction: &mut Transaction,
    lease: &Lease,
    finished: &Finished,
) -> Result<Written, DatabaseError> {
    let job = match lock_for(transaction, lease).await? {
        Ok(job) => job,
        Err(Written::LeaseLost) if has_finished(transaction, lease).await? => return Ok(Written::Accepted),
        Err(refused) => return Ok(refused),
    };
    let Some(seconds) = lease::set_succeeded(&mut **transaction, lease, &finished.computed).await? else {
        return Ok(Written::LeaseLost);
    };
    task::append_log(&mut **transaction, lease.task, &finished.log, LONGEST_LOG).await?;
    for output in &finished.outputs {
        artifact::insert(&mut **transaction, job.id, finished.stage, finished.index, output).await?;
    }
    prepared::record(transaction, lease, &finished.computed.result, &finished.for_later_jobs).await?;
    if let Some(summary) = &finished.summary {
        model::set_summary(&mut **transaction, job.model_id, summary).await?;
    }
    let Finished { stage, index, .. } = *finished;
    let event = Event::TaskFinished { stage, index, seconds, readings: finished.readings.clone() };
    events::append(transaction, job.id, &event).await?;

    let id = job.id;
    go_on(transaction, job, finished).await?;
    // Last, since all that a tenant's tasks bring waits for the row of its account.
    account(transaction, id, Some(seconds)).await?;
    Ok(Written::Accepted)
}

/// What follows for the job from a task that is recorded.
async fn go_on(transaction: &mut Transaction, job: Job, finished: &Finished) -> Result<(), DatabaseError> {
    let Order::Prune(spec) = &job.order else {
        return succeed(transaction, job.id, None).await;
    };
    let all_finished = task::finished(&mut **transaction, job.id).await?;
    let view = job.view(spec, &all_finished);
    measurements::keep(transaction, &job, view, finished.stage, &finished.computed).await?;
    update_best(transaction, &job, view).await?;
    if task::is_stage_done(&mut **transaction, job.id, finished.stage).await? {
        let spec = spec.clone();
        let last = Last { stage: finished.stage, result: &finished.computed.result };
        advance(transaction, job, &spec, last, &all_finished).await?;
    }
    Ok(())
}

/// Whether this very lease has finished its task already.
async fn has_finished(transaction: &mut Transaction, lease: &Lease) -> Result<bool, DatabaseError> {
    let standing = lease::standing(&mut **transaction, lease.task).await?;
    Ok(standing.is_some_and(|standing| standing.attempt == lease.attempt && standing.state == TaskState::Succeeded))
}

//! Finish: a task's outputs become real and, with the last task of a stage, so does the next stage.
//!
//! In the order of the code: lock the job; check the lease; record result and outputs; keep what later jobs may want to
//! know; update the best so far; if the stage is done, insert the tasks of the next one whose results are not all known
//! from earlier jobs, or mark the job as succeeded. All of it in one transaction: two workers
//! that finish the last two tasks at once go one after the other, and only the second sees the stage done.

use secateur_core::inspection::ModelSummary;
use secateur_core::spec::JobSpec;
use secateur_core::stage::{self, FinishedTask, JobView, Stage, TaskResult};
use secateur_core::wire::Computed;

use super::{LONGEST_LOG, Queue, Written, events, fail, lock_for, measurements, notify_tasks};
use crate::database::{DatabaseError, Transaction};
use crate::id::JobId;
use crate::job::{Best, Event, JobError, JobResult, Order};
use crate::table::artifact::Output;
use crate::table::task::{Lease, TaskState};
use crate::table::{artifact, job, model, task};

/// What a task brought.
#[derive(Debug, Clone)]
pub struct Finished {
    pub stage: Stage,
    pub index: usize,
    pub computed: Computed,
    pub outputs: Vec<Output>,
    /// What an inspection or the graph stage learnt about the model itself.
    pub summary: Option<ModelSummary>,
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
    let Some(seconds) = task::set_succeeded(&mut **transaction, lease, &finished.computed).await? else {
        return Ok(Written::LeaseLost);
    };
    task::append_log(&mut **transaction, lease.task, &finished.log, LONGEST_LOG).await?;
    for output in &finished.outputs {
        artifact::insert(&mut **transaction, job.id, finished.stage, finished.index, output).await?;
    }
    if let Some(summary) = &finished.summary {
        model::set_summary(&mut **transaction, job.model_id, summary).await?;
    }
    let event = Event::TaskFinished { stage: finished.stage, index: finished.index, seconds };
    events::append(transaction, job.id, &event).await?;

    let Order::Prune(spec) = &job.order else {
        succeed(transaction, job.id, None).await?;
        return Ok(Written::Accepted);
    };
    let all_finished = task::finished(&mut **transaction, job.id).await?;
    let view = job.view(spec, &all_finished);
    measurements::keep(transaction, &job, view, finished.stage, &finished.computed.result).await?;
    update_best(transaction, &job, view).await?;
    if task::is_stage_done(&mut **transaction, job.id, finished.stage).await? {
        let spec = spec.clone();
        advance(transaction, job, &spec, finished, &all_finished).await?;
    }
    Ok(Written::Accepted)
}

/// Whether this very lease has finished its task already.
async fn has_finished(transaction: &mut Transaction, lease: &Lease) -> Result<bool, DatabaseError> {
    let standing = task::standing(&mut **transaction, lease.task).await?;
    Ok(standing.is_some_and(|standing| standing.attempt == lease.attempt && standing.state == TaskState::Succeeded))
}

async fn update_best(transaction: &mut Transaction, job: &job::Job, view: JobView<'_>) -> Result<(), DatabaseError> {
    let best = Best::of(view);
    if let Some(best) = best.filter(|best| job.best.as_ref() != Some(best)) {
        job::set_best(&mut **transaction, job.id, &best).await?;
        events::append(transaction, job.id, &Event::Best { best }).await?;
    }
    Ok(())
}

/// The step from a stage that is done to the next one that has something to do, or to the end of the job.
async fn advance(
    transaction: &mut Transaction,
    mut job: job::Job,
    spec: &JobSpec,
    last: &Finished,
    finished: &[FinishedTask],
) -> Result<(), DatabaseError> {
    let has_dataset = job.dataset_id.is_some();
    let mut done = last.stage;
    loop {
        let Some(next) = done.next(spec, has_dataset) else {
            return end(transaction, job.id, last).await;
        };
        let known = measurements::known(transaction, &job, job.view(spec, finished), next).await?;
        let plan = match stage::plan(next, job.view(spec, finished), &known) {
            Ok(plan) => plan,
            Err(error) => {
                return fail::end_job(transaction, job.id, JobError::internal(next, error.to_string())).await;
            }
        };
        if !plan.reused.is_empty() {
            let event = Event::Reused { stage: next, measurements: plan.reused.len() };
            events::append(transaction, job.id, &event).await?;
            job.reused.extend(plan.reused);
            job::set_reused(&mut **transaction, job.id, &job.reused).await?;
            update_best(transaction, &job, job.view(spec, finished)).await?;
        }
        if plan.tasks.is_empty() {
            done = next;
            continue;
        }
        for planned in &plan.tasks {
            task::insert(&mut **transaction, job.id, next, planned).await?;
        }
        job::set_stage(&mut **transaction, job.id, next).await?;
        events::append(transaction, job.id, &Event::Stage { stage: next, tasks: plan.tasks.len() }).await?;
        return notify_tasks(transaction).await;
    }
}

/// The end of a job whose last stage is done.
async fn end(transaction: &mut Transaction, job: JobId, last: &Finished) -> Result<(), DatabaseError> {
    match &last.computed.result {
        TaskResult::Verify(verified) => {
            succeed(transaction, job, Some(JobResult::from(verified.report.as_ref()))).await
        }
        _ => {
            let detail = format!("the last stage, {}, brought no report", last.stage.as_str());
            fail::end_job(transaction, job, JobError::internal(last.stage, detail)).await
        }
    }
}

/// A job that ended well; an inspection has no result of its own.
async fn succeed(transaction: &mut Transaction, job: JobId, result: Option<JobResult>) -> Result<(), DatabaseError> {
    job::set_succeeded(&mut **transaction, job, result.as_ref()).await?;
    events::append(transaction, job, &Event::Succeeded {}).await
}

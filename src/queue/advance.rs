//! Advance: the step from a stage that is done to the next one, by whichever task or answer was the last of it, under the job's lock.

use secateur_core::spec::JobSpec;
use secateur_core::stage::judge::JudgeWork;
use secateur_core::stage::{self, FinishedTask, JobView, PlannedTask, Stage, TaskResult, Work};
use secateur_core::wire::Progress;

use super::{events, fail, measurements, notify_tasks};
use crate::database::{DatabaseError, Transaction};
use crate::id::JobId;
use crate::job::{Best, Event, JobError, JobResult};
use crate::table::task::waiting;
use crate::table::{job, task};

/// Records the best network so far and tells those who wait, when it is another one than before.
pub(super) async fn update_best(
    transaction: &mut Transaction,
    job: &job::Job,
    view: JobView<'_>,
) -> Result<(), DatabaseError> {
    let best = Best::of(view);
    if let Some(best) = best.filter(|best| job.best.as_ref() != Some(best)) {
        job::set_best(&mut **transaction, job.id, &best).await?;
        events::append(transaction, job.id, &Event::Best { best }).await?;
    }
    Ok(())
}

/// The task that was the last of its stage.
#[derive(Clone, Copy)]
pub(super) struct Last<'a> {
    pub(super) stage: Stage,
    pub(super) result: &'a TaskResult,
}

/// The step from a stage that is done to the next one that has something to do, or to the end of the job.
pub(super) async fn advance(
    transaction: &mut Transaction,
    mut job: job::Job,
    spec: &JobSpec,
    last: Last<'_>,
    finished: &[FinishedTask],
) -> Result<(), DatabaseError> {
    let has_dataset = job.dataset_id.is_some();
    let mut done = last.stage;
    loop {
        let Some(next) = done.next(spec, has_dataset) else {
            return end(transaction, job.id, last).await;
        };
        let (known, seconds_each) = measurements::known(transaction, &job, job.view(spec, finished), next).await?;
        let plan = match stage::plan(next, job.view(spec, finished), &known) {
            Ok(plan) => plan,
            Err(error) => {
                return fail::end_job(transaction, job.id, JobError::internal(next, error.to_string())).await;
            }
        };
        if !plan.reused.is_empty() {
            let saved_s = seconds_each * plan.reused.len() as f64;
            let event = Event::Reused { stage: next, measurements: plan.reused.len(), saved_s };
            events::append(transaction, job.id, &event).await?;
            job::add_saved(&mut **transaction, job.id, saved_s).await?;
            job.reused.extend(plan.reused);
            job::set_reused(&mut **transaction, job.id, &job.reused).await?;
            update_best(transaction, &job, job.view(spec, finished)).await?;
        }
        if plan.tasks.is_empty() {
            done = next;
            continue;
        }
        job::set_stage(&mut **transaction, job.id, next).await?;
        events::append(transaction, job.id, &Event::Stage { stage: next, tasks: plan.tasks.len() }).await?;
        for planned in &plan.tasks {
            match &planned.work {
                Work::Judge(work) => ask(transaction, job.id, planned, work).await?,
                _ => task::insert(&mut **transaction, job.id, next, planned, job.order.terms()).await?,
            }
        }
        return notify_tasks(transaction).await;
    }
}

/// The end of a job whose last stage is done.
async fn end(transaction: &mut Transaction, job: JobId, last: Last<'_>) -> Result<(), DatabaseError> {
    match last.result {
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
pub(super) async fn succeed(
    transaction: &mut Transaction,
    job: JobId,
    result: Option<JobResult>,
) -> Result<(), DatabaseError> {
    job::set_succeeded(&mut **transaction, job, result.as_ref()).await?;
    events::append(transaction, job, &Event::Succeeded {}).await
}

/// Puts the task of the stage in its place and tells the judge.
async fn ask(
    transaction: &mut Transaction,
    id: JobId,
    planned: &PlannedTask,
    work: &JudgeWork,
) -> Result<(), DatabaseError> {
    let progress = progress_of(work, 0);
    let deadline = waiting::insert(&mut **transaction, id, planned, work.timeout(), &progress).await?;
    let event = Event::JudgementAsked { finalists: work.finalists.clone(), deadline };
    events::append(transaction, id, &event).await
}

/// How far a judgement is.
pub(super) fn progress_of(work: &JudgeWork, judged: usize) -> Progress {
    let (done, total) = (judged as u64, work.finalists.len() as u64);
    Progress { done, total, unit: "scores".to_owned(), rate: None, note: None }
}

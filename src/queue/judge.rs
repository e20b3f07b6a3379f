//! Judge: a stage that waits for scores from outside, in no worker's hands, until every finalist has one or the time is over.
//!
//! The task of the stage is in the state `waiting` and has a deadline on the database's clock. A score is written under the job's row
//! lock, and the last one ends the judgement in the same transaction, as does the reaper of whichever process comes first after the
//! deadline: it ends once.

use secateur_core::recovery::{DecidedBy, JudgeScore, Judgement};
use secateur_core::stage::judge::JudgeResult;
use secateur_core::stage::{Stage, TaskResult};
use secateur_core::wire::Computed;

use super::advance::{Last, advance, progress_of, update_best};
use super::{Queue, events};
use crate::database::{DatabaseError, Transaction};
use crate::id::JobId;
use crate::job::{Event, JobStatus};
use crate::table::task::waiting::{self, JudgeTask};
use crate::table::task::{self, TaskState};
use crate::table::{job, judgement};

const CANCELLED: &str = "The job was cancelled.";

/// What became of a score.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judging {
    /// It counts, by this call or an earlier one.
    Recorded,
    /// The judgement has ended, and it had not been given before; with the reason, a sentence.
    Over(String),
    /// The job is still at this stage.
    NotAsked(Stage),
    /// The candidate is none of these.
    NoFinalist(Vec<usize>),
    /// The job's own metric chooses.
    NoJudge,
    NoSuchJob,
}

impl Queue {
    /// Records a judge's score; with the last one the job goes on.
    pub async fn judge(&self, id: JobId, score: JudgeScore) -> Result<Judging, DatabaseError> {
        let mut transaction = self.database.begin().await?;
        let judging = judge_in(&mut transaction, id, score).await?;
        transaction.commit().await?;
        Ok(judging)
    }

    /// Ends every judgement whose time is over; says how many.
    pub(super) async fn end_judgements(&self) -> Result<usize, DatabaseError> {
        let mut ended = 0;
        for id in waiting::overdue(self.database.pool()).await? {
            let mut transaction = self.database.begin().await?;
            // The list was read without locks.
            if let Some((job, waiting)) = lock_waiting(&mut transaction, id).await?
                && waiting.is_overdue
            {
                settle(&mut transaction, job, &waiting).await?;
                ended += 1;
            }
            transaction.commit().await?;
        }
        Ok(ended)
    }
}

async fn judge_in(transaction: &mut Transaction, id: JobId, score: JudgeScore) -> Result<Judging, DatabaseError> {
    if !job::lock(&mut **transaction, id).await? {
        return Ok(Judging::NoSuchJob);
    }
    let job = job::find(&mut **transaction, id).await?.expect("a locked row is there");
    if job.order.spec().is_none_or(|spec| spec.judge.is_none()) {
        return Ok(Judging::NoJudge);
    }
    let Some(asked) = waiting::judge_task(&mut **transaction, id).await? else {
        return Ok(match job.status {
            JobStatus::Queued | JobStatus::Running => Judging::NotAsked(job.stage),
            JobStatus::Cancelled => Judging::Over(CANCELLED.to_owned()),
            ended @ (JobStatus::Succeeded | JobStatus::Failed) => {
                Judging::Over(format!("The job has {}.", ended.as_str()))
            }
        });
    };
    if !asked.work.finalists.contains(&score.candidate) {
        return Ok(Judging::NoFinalist(asked.work.finalists));
    }
    let given = judgement::list(&mut **transaction, id).await?;
    if given.contains(&score) {
        return Ok(Judging::Recorded);
    }
    if asked.state != TaskState::Waiting {
        return Ok(Judging::Over(how_it_ended(&asked)));
    }
    if asked.is_overdue {
        let judgement = settle(transaction, job, &asked).await?;
        return Ok(Judging::Over(judgement.reason.unwrap_or_default()));
    }
    judgement::set(&mut **transaction, id, score).await?;
    let given = judgement::list(&mut **transaction, id).await?;
    let progress = progress_of(&asked.work, given.len());
    waiting::set_progress(&mut **transaction, asked.id, &progress).await?;
    let JudgeScore { candidate, score } = score;
    let event = Event::Judged { candidate, score, done: progress.done, total: progress.total };
    events::append(transaction, id, &event).await?;
    if progress.done == progress.total {
        settle(transaction, job, &asked).await?;
    }
    Ok(Judging::Recorded)
}

/// A job that waits for its judge, locked, with the task that does.
async fn lock_waiting(
    transaction: &mut Transaction,
    id: JobId,
) -> Result<Option<(job::Job, JudgeTask)>, DatabaseError> {
    if !job::lock(&mut **transaction, id).await? {
        return Ok(None);
    }
    let waiting = waiting::judge_task(&mut **transaction, id).await?;
    let Some(waiting) = waiting.filter(|task| task.state == TaskState::Waiting) else { return Ok(None) };
    let job = job::find(&mut **transaction, id).await?.expect("a locked row is there");
    Ok(Some((job, waiting)))
}

/// Ends a judgement with the scores that came, and takes the job to the next stage.
async fn settle(transaction: &mut Transaction, job: job::Job, asked: &JudgeTask) -> Result<Judgement, DatabaseError> {
    let given = judgement::list(&mut **transaction, job.id).await?;
    let JudgeResult { judgement } = asked.work.settle(&given);
    let result = TaskResult::Judge(JudgeResult { judgement: judgement.clone() });
    // No engine: no device, and nothing computed.
    let computed = Computed { result, device: String::new(), computing_s: Some(0.0) };
    waiting::set_answered(&mut **transaction, asked.id, &computed).await?;

    let spec = job.order.spec().expect("an inspection has no judge").clone();
    let finished = task::finished(&mut **transaction, job.id).await?;
    let view = job.view(&spec, &finished);
    if let Some((_, candidate)) = view.best() {
        let (decided_by, reason) = (judgement.decided_by, judgement.reason.clone());
        events::append(transaction, job.id, &Event::JudgementEnded { decided_by, candidate, reason }).await?;
    }
    update_best(transaction, &job, view).await?;
    let last = Last { stage: Stage::Judge, result: &computed.result };
    advance(transaction, job, &spec, last, &finished).await?;
    Ok(judgement)
}

fn how_it_ended(asked: &JudgeTask) -> String {
    match &asked.judgement {
        Some(Judgement { decided_by: DecidedBy::Judge, .. }) => "Every finalist has its score.".to_owned(),
        Some(Judgement { decided_by: DecidedBy::Metric, reason, .. }) => reason.clone().unwrap_or_default(),
        None => CANCELLED.to_owned(),
    }
}

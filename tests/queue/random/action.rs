//! How a step is made: what it is about, the call that makes it, and what the queue answered.

use secateur::access::{Caller, Scope};
use secateur::blob::BlobKey;
use secateur::id::{JobId, ModelId};
use secateur::job::JobError;
use secateur::queue::{
    Cancellation, Capacity, ClaimedTask, Deletion, Failure, NewSubmission, NewWorker, Process, Reason, Report, Share,
    Submitted, Written,
};
use secateur::quota::Quotas;
use secateur_core::recovery::JudgeScore;
use secateur_core::spec::JobSpec;
use secateur_core::stage::Stage;
use secateur_core::wire::Progress;

use super::made_up;
use super::step::{FailureKind, Step, Submission, TENANTS, WORKERS};
use super::world::{MOST_JOBS, World};

const MACHINE: &str = "machine";

/// A step with all that it is about.
pub(super) enum Action {
    Submit(Submission),
    Claim {
        worker: usize,
    },
    Work {
        worker: usize,
    },
    OfLease(Box<ClaimedTask>, OfLease),
    Silence(Box<ClaimedTask>),
    Reap,
    Death {
        worker: usize,
    },
    Pause(JobId),
    Resume(JobId),
    Cancel(JobId),
    Delete(JobId),
    Judge(JobId, JudgeScore),
    Overdue(JobId),
    Reconcile,
    /// There is no lease or job yet that it could be about.
    Nothing,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum OfLease {
    Heartbeat { has_progress: bool },
    Checkpoint,
    Finish,
    Fail(FailureKind),
    GiveBack,
}

/// What came of it.
pub(super) enum Outcome {
    Submitted(JobId),
    Claimed(Option<Box<ClaimedTask>>),
    Worked(Option<(Box<ClaimedTask>, Written)>),
    Written(Written),
    Cancelled(bool),
    Deleted(bool),
    Counted(usize),
    Done,
}

impl World {
    pub(super) fn resolve(&self, step: &Step) -> Action {
        let claimed = |back: usize| {
            let len = self.claims.len();
            (len > 0).then(|| Box::new(self.claims[len - 1 - back % len].0.clone()))
        };
        let of_lease = |back: usize, what: OfLease| claimed(back).map(|task| Action::OfLease(task, what));
        let job = |back: usize| self.jobs.len().checked_sub(1).map(|last| self.jobs[last - back % (last + 1)]);
        let action = match step.clone() {
            Step::Submit(submission) => (self.jobs.len() < MOST_JOBS).then_some(Action::Submit(submission)),
            Step::Claim { worker } => Some(Action::Claim { worker }),
            Step::Work { worker } => Some(Action::Work { worker }),
            Step::Heartbeat { lease, has_progress } => of_lease(lease, OfLease::Heartbeat { has_progress }),
            Step::Checkpoint { lease } => of_lease(lease, OfLease::Checkpoint),
            Step::Finish { lease } => of_lease(lease, OfLease::Finish),
            Step::Fail { lease, kind } => of_lease(lease, OfLease::Fail(kind)),
            Step::GiveBack { lease } => of_lease(lease, OfLease::GiveBack),
            Step::Silence { lease } => claimed(lease).map(Action::Silence),
            Step::Reap => Some(Action::Reap),
            Step::Death { worker } => Some(Action::Death { worker }),
            Step::Pause { job: back } => job(back).map(Action::Pause),
            Step::Resume { job: back } => job(back).map(Action::Resume),
            Step::Cancel { job: back } => job(back).map(Action::Cancel),
            Step::Delete { job: back } => job(back).map(Action::Delete),
            Step::Judge { job: back, candidate, score } => {
                job(back).map(|id| Action::Judge(id, JudgeScore { candidate, score }))
            }
            Step::Overdue { job: back } => job(back).map(Action::Overdue),
            Step::Reconcile => Some(Action::Reconcile),
        };
        action.unwrap_or(Action::Nothing)
    }

    /// Any error fails the case: no two steps may collide.
    pub(super) async fn perform(&self, action: &Action) -> Outcome {
        let queue = &self.queue;
        match action {
            Action::Submit(submission) => {
                let submission = self::submission(self.model, submission);
                match queue.submit(submission, Quotas::default()).await.unwrap() {
                    Submitted::Created(id) => Outcome::Submitted(id),
                    other => panic!("{other:?}"),
                }
            }
            Action::Claim { worker } => Outcome::Claimed(self.claim(*worker).await.map(Box::new)),
            Action::Work { worker } => Outcome::Worked(match self.claim(*worker).await {
                Some(task) => {
                    let written = queue.finish(&task.lease, &made_up(&task)).await.unwrap();
                    Some((Box::new(task), written))
                }
                None => None,
            }),
            Action::OfLease(task, what) => Outcome::Written(self.write(task, *what).await),
            Action::Silence(task) => {
                let silence = "update task set lease_expires_at = clock_timestamp() - interval '1 second'
                               where id = $1 and attempt = $2 and state = 'running'";
                let silence = sqlx::query(silence).bind(task.lease.task.uuid()).bind(task.lease.attempt);
                silence.execute(self.pool()).await.unwrap();
                Outcome::Done
            }
            Action::Reap => Outcome::Counted(queue.reap().await.unwrap()),
            Action::Death { worker } => {
                let dead = *worker as i32;
                let taken = queue.take_back_of(MACHINE, |process| process.pid != dead).await.unwrap();
                queue.enrol(&process(*worker)).await.unwrap();
                Outcome::Counted(taken)
            }
            Action::Pause(id) => {
                queue.pause(*id).await.unwrap();
                Outcome::Done
            }
            Action::Resume(id) => {
                queue.resume(*id).await.unwrap();
                Outcome::Done
            }
            Action::Cancel(id) => Outcome::Cancelled(queue.cancel(*id).await.unwrap() == Cancellation::Cancelled),
            Action::Delete(id) => {
                Outcome::Deleted(queue.delete(*id, Reason::Asked).await.unwrap() == Deletion::Deleted)
            }
            Action::Judge(id, score) => {
                queue.judge(*id, *score).await.unwrap();
                Outcome::Done
            }
            Action::Overdue(id) => {
                let overdue = "update task set deadline = clock_timestamp() - interval '1 second'
                               where job_id = $1 and state = 'waiting'";
                sqlx::query(overdue).bind(id.uuid()).execute(self.pool()).await.unwrap();
                Outcome::Done
            }
            Action::Reconcile => Outcome::Counted(queue.reconcile().await.unwrap()),
            Action::Nothing => Outcome::Done,
        }
    }

    pub(super) async fn claim(&self, worker: usize) -> Option<ClaimedTask> {
        let capacity = Capacity { has_gpu: has_gpu(worker), memory_bytes: None };
        self.queue.claim(&format!("worker-{worker}/0"), Share::Jobs, capacity).await.unwrap()
    }

    async fn write(&self, task: &ClaimedTask, what: OfLease) -> Written {
        let (queue, lease, index) = (&self.queue, &task.lease, task.plan.index);
        match what {
            OfLease::Heartbeat { has_progress } => {
                let progress = Progress { done: 1, total: 2, unit: "steps".to_owned(), rate: None, note: None };
                let report = has_progress.then_some(Report { progress: &progress, readings: &[] });
                queue.heartbeat(lease, task.stage, index, report).await.unwrap().written
            }
            OfLease::Checkpoint => {
                let blob = BlobKey::checkpoint(lease.job, task.stage, index, lease.attempt, 1);
                queue.checkpoint(lease, &blob).await.unwrap()
            }
            OfLease::Finish => queue.finish(lease, &made_up(task)).await.unwrap(),
            OfLease::Fail(kind) => queue.fail(lease, index, &failure(kind, task.stage), "failed\n").await.unwrap(),
            OfLease::GiveBack => queue.give_back(lease, "given back\n").await.unwrap(),
        }
    }
}

fn submission(model_id: ModelId, asked: &Submission) -> NewSubmission {
    let spec = serde_json::json!({
        "target": {"flops_reduction": 0.5},
        "method": "global_l2",
        "priority": asked.priority,
        "requires": if asked.needs_gpu { serde_json::json!({"device": "gpu"}) } else { serde_json::json!({}) },
        "judge": asked.is_judged.then(|| serde_json::json!({"timeout_s": 3600})),
        "webhook": {"url": "https://hooks.example/", "events": ["succeeded", "failed", "cancelled", "judging"]},
    });
    let tenant = format!("tenant-{}", asked.tenant % TENANTS).parse().unwrap();
    NewSubmission {
        caller: Caller { tenant, scope: Scope::Submit, key_id: None },
        spec: JobSpec::from_json(&spec.to_string()).unwrap(),
        model_id,
        dataset_id: None,
        clone_of: None,
        idempotency_key: None,
    }
}

/// The process of a worker; its number is its process id.
pub(super) fn process(worker: usize) -> NewWorker {
    NewWorker {
        name: format!("worker-{worker}"),
        process: Process { machine: MACHINE.to_owned(), pid: worker as i32, began: 1 },
        version: "0",
        protocol: 0,
        slots: 1,
        has_gpu: has_gpu(worker),
        memory_bytes: None,
    }
}

pub(super) fn has_gpu(worker: usize) -> bool {
    worker + 1 == WORKERS
}

fn failure(kind: FailureKind, stage: Stage) -> Failure {
    let error = JobError::internal(stage, "It was to be so.");
    match kind {
        FailureKind::Permanent => Failure::Permanent(error),
        FailureKind::Suspected => Failure::Suspected(error),
        FailureKind::Retryable => Failure::Retryable(error),
        FailureKind::Lost => Failure::Lost(error),
    }
}

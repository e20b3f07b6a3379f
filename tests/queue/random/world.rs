//! What is known of the queue from the answers that it gave: who holds which task, and what may have become of each job.

use std::collections::HashMap;

use secateur::id::{JobId, ModelId, TaskId};
use secateur::job::JobStatus;
use secateur::queue::{ClaimedTask, MAX_CRASHES, MAX_LOSSES, Queue, Written};
use sqlx::Row;

use super::action::{Action, OfLease, Outcome, has_gpu, process};
use super::step::{FailureKind, Move, WORKERS};
use super::{faults, made_up};

/// Jobs of a case.
pub(super) const MOST_JOBS: usize = 6;

/// Who holds a task.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Held {
    attempt: i32,
    worker: usize,
    has_run_out: bool,
}

/// What is known of a job.
#[derive(Debug, Clone, Default)]
struct Known {
    needs_gpu: bool,
    is_paused: bool,
    /// Once it has ended.
    end: Option<JobStatus>,
    was_deleted: bool,
    was_cancelled: bool,
    permanent_failures: i32,
    other_failures: i32,
    losses: i32,
}

pub(super) struct World {
    pub(super) queue: Queue,
    pub(super) model: ModelId,
    pub(super) jobs: Vec<JobId>,
    known: HashMap<JobId, Known>,
    /// All that were ever given, each with its worker.
    pub(super) claims: Vec<(ClaimedTask, usize)>,
    held: HashMap<TaskId, Held>,
}

impl World {
    pub(super) async fn new(queue: Queue, model: ModelId) -> Self {
        for worker in 0..WORKERS {
            queue.enrol(&process(worker)).await.unwrap();
        }
        Self { queue, model, jobs: Vec::new(), known: HashMap::new(), claims: Vec::new(), held: HashMap::new() }
    }

    pub(super) async fn play(&mut self, played: &Move) {
        match played {
            Move::One(step) => {
                let action = self.resolve(step);
                let before = faults::standing(self.pool()).await;
                let outcome = self.perform(&action).await;
                self.expect(&action, &outcome, &before).await;
                self.note(&action, &outcome);
                self.note_leases(&action, &outcome);
                let running = self.running().await;
                assert_eq!(running, self.held, "who holds what");
            }
            Move::AtOnce(one, other) => {
                let (one, other) = (self.resolve(one), self.resolve(other));
                let (of_one, of_other) = tokio::join!(self.perform(&one), self.perform(&other));
                self.note(&one, &of_one);
                self.note(&other, &of_other);
                let running = self.running().await;
                for (task, held) in &running {
                    let is_known = self.claims.iter().any(|(claimed, worker)| {
                        claimed.lease.task == *task && (claimed.lease.attempt, *worker) == (held.attempt, held.worker)
                    });
                    assert!(is_known, "nobody was given {task:?}, which {held:?} runs");
                }
                self.held = running;
            }
        }
        self.refresh().await;
    }

    pub(super) fn pool(&self) -> &sqlx::PgPool {
        self.queue.database().pool()
    }

    /// What the answer to a single step must be, by what was known before.
    async fn expect(&self, action: &Action, outcome: &Outcome, before: &str) {
        match (action, outcome) {
            (Action::Claim { worker }, Outcome::Claimed(claimed)) => {
                self.expect_claim(*worker, claimed.as_deref()).await;
            }
            (Action::Work { worker }, Outcome::Worked(worked)) => {
                self.expect_claim(*worker, worked.as_ref().map(|(task, _)| &**task)).await;
                assert!(worked.as_ref().is_none_or(|(_, written)| *written == Written::Accepted));
            }
            (Action::OfLease(task, what), Outcome::Written(written)) => {
                let job = &self.known[&task.lease.job];
                if !self.holds(task) {
                    assert_eq!(faults::standing(self.pool()).await, before, "a stale lease changed something");
                    let refused = match job.was_deleted {
                        true => Written::Cancelled,
                        false => Written::LeaseLost,
                    };
                    let repeats = *what == OfLease::Finish && *written == Written::Accepted;
                    assert!(repeats || *written == refused, "{written:?} to a stale lease");
                } else if job.end.is_some() {
                    assert_eq!(*written, Written::Cancelled, "the job has ended");
                } else if job.is_paused && matches!(what, OfLease::Heartbeat { .. }) {
                    assert_eq!(*written, Written::Paused);
                } else {
                    assert_eq!(*written, Written::Accepted, "{what:?} with a lease that counts");
                }
            }
            (Action::Reconcile, Outcome::Counted(mended)) => assert_eq!(*mended, 0, "a job was stranded"),
            (Action::Death { worker }, Outcome::Counted(taken)) => {
                let held = self.held.values().filter(|held| held.worker == *worker).count();
                assert_eq!(*taken, held, "tasks of a dead worker");
            }
            _ => {}
        }
    }

    /// A claim gives a task that may be given, and when it gives none there is none.
    async fn expect_claim(&self, worker: usize, claimed: Option<&ClaimedTask>) {
        let Some(task) = claimed else {
            let query = "select count(*) from task where state = 'queued' and (needs_gpu is not true or $1)";
            let left: i64 = sqlx::query_scalar(query).bind(has_gpu(worker)).fetch_one(self.pool()).await.unwrap();
            assert_eq!(left, 0, "a task is queued and is not given to worker {worker}");
            return;
        };
        let job = &self.known[&task.lease.job];
        assert!(!job.is_paused && job.end.is_none() && !job.was_deleted, "a task of {job:?} was claimed");
        assert!(has_gpu(worker) || !job.needs_gpu, "a task that needs a GPU was given to worker {worker}");
        assert!(!self.held.contains_key(&task.lease.task), "a task that is held was claimed");
        let earlier = self.claims.iter().filter(|(earlier, _)| earlier.lease.task == task.lease.task);
        let latest = earlier.map(|(earlier, _)| earlier.lease.attempt).max().unwrap_or(0);
        assert_eq!(task.lease.attempt, latest + 1, "the attempt rises with every claim");
    }

    fn holds(&self, task: &ClaimedTask) -> bool {
        self.held.get(&task.lease.task).is_some_and(|held| held.attempt == task.lease.attempt)
    }

    /// What a step leaves to be known of jobs.
    fn note(&mut self, action: &Action, outcome: &Outcome) {
        match (action, outcome) {
            (Action::Submit(submission), Outcome::Submitted(id)) => {
                self.jobs.push(*id);
                self.known.insert(*id, Known { needs_gpu: submission.needs_gpu, ..Known::default() });
            }
            (Action::Claim { worker }, Outcome::Claimed(Some(task)))
            | (Action::Work { worker }, Outcome::Worked(Some((task, _)))) => {
                self.claims.push(((**task).clone(), *worker));
            }
            (Action::OfLease(task, OfLease::Fail(kind)), Outcome::Written(Written::Accepted)) => {
                let job = self.known.get_mut(&task.lease.job).unwrap();
                match kind {
                    FailureKind::Permanent => job.permanent_failures += 1,
                    FailureKind::Suspected | FailureKind::Retryable => job.other_failures += 1,
                    FailureKind::Lost => job.losses += 1,
                }
            }
            (Action::Reap | Action::Death { .. }, Outcome::Counted(taken)) => {
                self.known.values_mut().for_each(|job| job.losses += *taken as i32);
            }
            (Action::Cancel(id), Outcome::Cancelled(true)) => self.known.get_mut(id).unwrap().was_cancelled = true,
            (Action::Delete(id), Outcome::Deleted(true)) => self.known.get_mut(id).unwrap().was_deleted = true,
            _ => {}
        }
    }

    /// Who holds what after a single step.
    fn note_leases(&mut self, action: &Action, outcome: &Outcome) {
        match (action, outcome) {
            (Action::Claim { worker }, Outcome::Claimed(Some(task))) => {
                let held = Held { attempt: task.lease.attempt, worker: *worker, has_run_out: false };
                self.held.insert(task.lease.task, held);
            }
            (Action::OfLease(task, what), Outcome::Written(written)) if self.holds(task) => {
                let goes_on = matches!(what, OfLease::Heartbeat { .. } | OfLease::Checkpoint);
                match (goes_on, written) {
                    (true, Written::Accepted) if *what != OfLease::Checkpoint => {
                        self.held.get_mut(&task.lease.task).unwrap().has_run_out = false;
                    }
                    (true, Written::Accepted | Written::Paused) => {}
                    _ => {
                        self.held.remove(&task.lease.task);
                    }
                }
            }
            (Action::Silence(task), _) if self.holds(task) => {
                self.held.get_mut(&task.lease.task).unwrap().has_run_out = true;
            }
            (Action::Reap, _) => self.held.retain(|_, held| !held.has_run_out),
            (Action::Death { worker }, _) => self.held.retain(|_, held| held.worker != *worker),
            (Action::Delete(id), Outcome::Deleted(true)) => {
                let of_job = self.claims.iter().filter(|(task, _)| task.lease.job == *id);
                for task in of_job.map(|(task, _)| task.lease.task).collect::<Vec<_>>() {
                    self.held.remove(&task);
                }
            }
            _ => {}
        }
    }

    /// Who holds what, as the table has it.
    async fn running(&self) -> HashMap<TaskId, Held> {
        let query = "select id, attempt, worker, lease_expires_at < clock_timestamp() as has_run_out
                     from task where state = 'running'";
        let rows = sqlx::query(query).fetch_all(self.pool()).await.unwrap();
        let held = rows.iter().map(|row| {
            let worker: String = row.get("worker");
            let number = worker.trim_start_matches("worker-").trim_end_matches("/0").parse().unwrap();
            let held = Held { attempt: row.get("attempt"), worker: number, has_run_out: row.get("has_run_out") };
            (TaskId::from(row.get::<uuid::Uuid, _>("id")), held)
        });
        held.collect()
    }

    /// Reads where the jobs stand; one that has ended stays as it is, and none goes unless it was deleted.
    async fn refresh(&mut self) {
        let query = "select id, status, paused_at is not null as is_paused from job";
        let rows = sqlx::query(query).fetch_all(self.pool()).await.unwrap();
        let open = self.known.values().filter(|job| !job.was_deleted).count();
        assert_eq!(rows.len(), open, "a job is gone that nobody deleted, or is there that was");
        for row in rows {
            let job = self.known.get_mut(&JobId::from(row.get::<uuid::Uuid, _>("id"))).expect("it was submitted");
            let status = JobStatus::parse(row.get("status")).unwrap();
            assert!(job.end.is_none_or(|end| end == status), "{job:?} is {status:?} now");
            job.end = status.is_final().then_some(status);
            job.is_paused = row.get("is_paused");
        }
    }

    pub(super) async fn check(&self, played: &Move) {
        let found = faults::find(self.pool()).await;
        assert!(found.is_empty(), "after {played:?}: {found:#?}");
        assert_eq!(self.queue.reconcile().await.unwrap(), 0, "after {played:?} a job was stranded");
    }

    /// Resumes everything, takes every lease for lost, and works until nothing is left to do.
    pub(super) async fn work_off(&mut self) {
        for id in self.jobs.clone() {
            self.queue.resume(id).await.unwrap();
        }
        let lost = "update task set lease_expires_at = clock_timestamp() - interval '1 second' where state = 'running'";
        sqlx::query(lost).execute(self.pool()).await.unwrap();
        let overdue = "update task set deadline = clock_timestamp() - interval '1 second' where state = 'waiting'";
        loop {
            sqlx::query(overdue).execute(self.pool()).await.unwrap();
            let reaped = self.queue.reap().await.unwrap();
            self.note(&Action::Reap, &Outcome::Counted(reaped));
            let mut worked = false;
            while let Some(task) = self.claim(WORKERS - 1).await {
                assert_eq!(self.queue.finish(&task.lease, &made_up(&task)).await.unwrap(), Written::Accepted);
                worked = true;
            }
            if !worked && reaped == 0 {
                break;
            }
        }
        self.refresh().await;
    }

    pub(super) async fn check_the_end(&self) {
        let open = "select count(*) from task where state in ('queued', 'held', 'running', 'waiting')";
        let open: i64 = sqlx::query_scalar(open).fetch_one(self.pool()).await.unwrap();
        assert_eq!(open, 0, "tasks are left");
        let found = faults::find(self.pool()).await;
        assert!(found.is_empty(), "at the end: {found:#?}");
        for (id, job) in self.known.iter().filter(|(_, job)| !job.was_deleted) {
            let end = job.end.unwrap_or_else(|| panic!("{id:?} never ended: {job:?}"));
            let may_have_failed =
                job.permanent_failures > 0 || job.other_failures >= MAX_CRASHES || job.losses >= MAX_LOSSES;
            match end {
                JobStatus::Cancelled => assert!(job.was_cancelled, "nobody cancelled {job:?}"),
                JobStatus::Failed => assert!(may_have_failed, "there is no reason for which {job:?} failed"),
                _ => assert!(!job.was_cancelled && job.permanent_failures == 0, "{job:?} ended well"),
            }
        }
    }
}

//! One slot: claim, run, tell.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::attempt::{self, End};
use super::idle::Idle;
use super::room::{self, Room};
use super::{Worker, checkpoints};
use crate::database::{DatabaseError, Wakeup, retry_while_away};
use crate::job::JobError;
use crate::queue::{ClaimedTask, Failure, Share, Written};
use crate::trace;

/// How long the end of a task is tried to be told while the database is away. Longer than the lease: as long as nobody
/// else has claimed the task, the work still counts.
const PATIENCE: Duration = Duration::from_mins(10);
/// The same when the program is asked to end.
const PATIENCE_AT_SHUTDOWN: Duration = Duration::from_secs(5);
const PAUSE_AFTER_ERROR: Duration = Duration::from_secs(1);

/// Takes tasks of one share until `shutdown`; every slot of a worker has a number of its own.
pub(super) async fn run(worker: Worker, slot: usize, share: Share, idle: Arc<Idle>, shutdown: CancellationToken) {
    let name = format!("{}/{slot}", worker.name);
    let capacity = worker.options.capacity();
    let mut hints = worker.notifications.subscribe();
    let mut room = Room::default();
    while !shutdown.is_cancelled() {
        if !room.is_enough(&worker) {
            let _ = shutdown.run_until_cancelled(tokio::time::sleep(room::BETWEEN_LOOKS)).await;
            continue;
        }
        match worker.queue.claim(&name, share, capacity).await {
            Ok(Some(task)) => {
                let _busy = idle.begin();
                let span = tracing::info_span!(
                    "task", job = %task.lease.job, task = %task.lease.task, stage = task.stage.as_str(),
                    index = task.plan.index, attempt = task.lease.attempt
                );
                trace::follow(&span, task.traceparent.as_deref());
                run_task(&worker, task, &shutdown).instrument(span).await;
            }
            Ok(None) => {
                let hint = hints.wait(worker.options.poll, |wakeup| wakeup == Wakeup::Task);
                let _ = shutdown.run_until_cancelled(hint).await;
            }
            Err(error) => {
                tracing::warn!(%error, "claim failed, trying again");
                let _ = shutdown.run_until_cancelled(tokio::time::sleep(PAUSE_AFTER_ERROR)).await;
            }
        }
    }
}

async fn run_task(worker: &Worker, task: ClaimedTask, shutdown: &CancellationToken) {
    tracing::info!("task started");
    let started = Instant::now();
    let (end, checkpoint) = attempt::run(worker, &task, shutdown).await;
    worker.metrics.observe_task(task.stage, end.word(), started.elapsed());
    let told = tell(worker, &task, &end, shutdown).await;
    if let Some(checkpoint) = checkpoint.filter(|_| end.is_for_good(&told)) {
        checkpoints::free(worker, &checkpoint).await;
    }
    match told {
        Ok(Written::Accepted) => tracing::info!(end = end.word(), "task ended"),
        Ok(refused) => {
            tracing::info!(end = end.word(), ?refused, "task ended for nothing");
            forget_outputs(worker, &end).await;
        }
        // The lease runs out and the task is queued again.
        Err(error) => tracing::error!(end = end.word(), %error, "the end of the task could not be recorded"),
    }
}

/// Tells the queue how the attempt ended, however long the database is away; at shutdown there is less time.
async fn tell(
    worker: &Worker,
    task: &ClaimedTask,
    end: &End,
    shutdown: &CancellationToken,
) -> Result<Written, DatabaseError> {
    match shutdown.run_until_cancelled(tell_within(PATIENCE, worker, task, end)).await {
        Some(told) => told,
        // What was cut off may have been written; saying it twice does no harm.
        None => tell_within(PATIENCE_AT_SHUTDOWN, worker, task, end).await,
    }
}

async fn tell_within(
    patience: Duration,
    worker: &Worker,
    task: &ClaimedTask,
    end: &End,
) -> Result<Written, DatabaseError> {
    let (queue, lease, index) = (&worker.queue, &task.lease, task.plan.index);
    match end {
        End::Finished(finished) => {
            let recorded = retry_while_away("finish", patience, || queue.finish(lease, finished)).await;
            match recorded {
                // What the database refuses for good will be refused again.
                Err(error) if !error.is_transient() => {
                    let detail = format!("The result could not be recorded: {error}");
                    let failure = Failure::Retryable(JobError::internal(task.stage, detail));
                    retry_while_away("fail", patience, || queue.fail(lease, index, &failure, &finished.log)).await
                }
                recorded => recorded,
            }
        }
        End::Failed { failure, log } => {
            retry_while_away("fail", patience, || queue.fail(lease, index, failure, log)).await
        }
        End::GivenBack { log } => retry_while_away("give back", patience, || queue.give_back(lease, log)).await,
        End::Dropped(written) => Ok(*written),
    }
}

/// Frees the blobs of an attempt that does not count.
async fn forget_outputs(worker: &Worker, end: &End) {
    let End::Finished(finished) = end else { return };
    let prepared = finished.for_later_jobs.made.iter().map(|made| made.blob.clone());
    let keys: Vec<_> = finished.outputs.iter().map(|output| output.blob.clone()).chain(prepared).collect();
    if let Err(error) = worker.blobs.delete(&keys).await {
        tracing::warn!(%error, "outputs of a task that does not count could not be freed");
    }
}

impl End {
    /// Whether there will be no other attempt, as far as is known here.
    fn is_for_good(&self, told: &Result<Written, DatabaseError>) -> bool {
        match told {
            Ok(Written::Accepted) => {
                matches!(self, Self::Finished(_) | Self::Failed { failure: Failure::Permanent(_), .. })
            }
            Ok(Written::Cancelled) => true,
            Ok(Written::LeaseLost | Written::Paused) | Err(_) => false,
        }
    }

    fn word(&self) -> &'static str {
        match self {
            Self::Finished(_) => "finished",
            Self::Failed { failure: Failure::Permanent(_), .. } => "failed for good",
            Self::Failed { failure: _, .. } => "failed",
            Self::GivenBack { .. } => "given back",
            Self::Dropped(_) => "dropped",
        }
    }
}

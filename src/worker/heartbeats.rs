//! Heartbeats of one task: at the start, at every interval, soon after progress, and at once when it is no longer wanted.

use std::time::Duration;

use secateur_core::wire::Progress;
use tokio::sync::watch;
use tokio::time::Instant;

use super::Worker;
use crate::database::Wakeup;
use crate::queue::{ClaimedTask, Written};

/// Progress is not sent more often than this.
const BETWEEN_PROGRESS: Duration = Duration::from_secs(2);
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(500);

/// Keeps the lease until the queue says otherwise. While the database is away it keeps trying: until another worker
/// claims the task, the lease can still be taken up again.
pub(super) async fn keep_lease(
    worker: &Worker,
    task: &ClaimedTask,
    mut progress: watch::Receiver<Option<Progress>>,
) -> Written {
    let mut hints = worker.notifications.subscribe();
    let job = task.lease.job;
    loop {
        let latest = progress.has_changed().unwrap_or(false).then(|| progress.borrow_and_update().clone()).flatten();
        let beat = worker.queue.heartbeat(&task.lease, task.stage, task.plan.index, latest.as_ref()).await;
        match beat {
            Ok(Written::Accepted) => {}
            Ok(refused) => return refused,
            Err(error) => {
                tracing::warn!(%error, "heartbeat failed, trying again");
                if latest.is_some() {
                    progress.mark_changed();
                }
                tokio::time::sleep(PAUSE_AFTER_ERROR).await;
                continue;
            }
        }
        let sent = Instant::now();
        let next_progress = async {
            if progress.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            progress.mark_changed();
            tokio::time::sleep_until(sent + BETWEEN_PROGRESS).await;
        };
        tokio::select! {
            () = next_progress => {}
            () = hints.wait(worker.options.heartbeat, |wakeup| wakeup == Wakeup::Stop(job)) => {}
        }
    }
}

//! Heartbeats of one task: at the start, at every interval, soon after progress, and at once when it is no longer wanted.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::Worker;
use crate::database::Wakeup;
use crate::engine::Told;
use crate::queue::{Beat, ClaimedTask, Report, Written};

/// Progress is not sent more often than this.
const BETWEEN_PROGRESS: Duration = Duration::from_secs(2);
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(500);

/// Keeps the lease until the queue says otherwise. While the database is away it keeps trying: until another worker
/// claims the task, the lease can still be taken up again.
pub(super) async fn keep_lease(worker: &Worker, task: &ClaimedTask, told: &watch::Sender<Told>) -> Written {
    let mut hints = worker.notifications.subscribe();
    let job = task.lease.job;
    let mut news = told.subscribe();
    loop {
        let latest = news.has_changed().unwrap_or(false).then(|| news.borrow_and_update().clone());
        let report = latest.as_ref().and_then(report);
        let beat = worker.queue.heartbeat(&task.lease, task.stage, task.plan.index, report).await;
        match beat {
            Ok(Beat { written: Written::Accepted, is_told }) => {
                match report.map_or(0, |report| report.readings.len()) {
                    0 => {}
                    passed_on if is_told => forget_readings(told, passed_on),
                    _ => news.mark_changed(),
                }
            }
            Ok(refused) => return refused.written,
            Err(error) => {
                tracing::warn!(%error, "heartbeat failed, trying again");
                if report.is_some() {
                    news.mark_changed();
                }
                tokio::time::sleep(PAUSE_AFTER_ERROR).await;
                continue;
            }
        }
        let sent = Instant::now();
        let next_news = async {
            if news.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            news.mark_changed();
            tokio::time::sleep_until(sent + BETWEEN_PROGRESS).await;
        };
        tokio::select! {
            () = next_news => {}
            () = hints.wait(worker.options.heartbeat, |wakeup| wakeup == Wakeup::Stop(job)) => {}
        }
    }
}

/// Readings wait for the first progress, which an engine sends before them.
fn report(told: &Told) -> Option<Report<'_>> {
    Some(Report { progress: told.progress.as_ref()?, readings: &told.readings })
}

/// Nobody needs to be woken for that.
fn forget_readings(told: &watch::Sender<Told>, oldest: usize) {
    told.send_if_modified(|told| {
        told.readings.drain(..oldest);
        false
    });
}

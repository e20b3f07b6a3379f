//! The reaper: looks for leases that have run out. Every process with a database runs one; they do not disturb each other.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::queue::Queue;

/// Reaps at every interval until `shutdown`.
pub async fn reap_until(queue: Queue, interval: Duration, shutdown: CancellationToken) {
    loop {
        if let Err(error) = queue.reap().await {
            tracing::warn!(%error, "reaping failed, trying again");
        }
        if shutdown.run_until_cancelled(tokio::time::sleep(interval)).await.is_none() {
            return;
        }
    }
}

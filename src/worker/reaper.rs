//! The reaper: takes back what lost workers hold, ends what has taken its time, and says that this process is there. Every process with a
//! database runs one; they do not disturb each other.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::identity;
use crate::database::DatabaseError;
use crate::queue::{NewWorker, Queue};

/// Between two looks for jobs to which nothing would ever happen.
const BETWEEN_RECONCILIATIONS: Duration = Duration::from_mins(1);

/// What is done in every round.
#[derive(Debug, Clone)]
pub struct Reaper {
    pub queue: Queue,
    /// This process, when it claims tasks and can be told from others.
    pub worker: Option<NewWorker>,
}

impl Reaper {
    /// Reaps at every interval until `shutdown`.
    pub async fn run_until(self, interval: Duration, shutdown: CancellationToken) {
        let mut reconciled: Option<Instant> = None;
        loop {
            if let Err(error) = self.round().await {
                tracing::warn!(%error, "reaping failed, trying again");
            }
            if reconciled.is_none_or(|at| at.elapsed() >= BETWEEN_RECONCILIATIONS) {
                match self.queue.reconcile().await {
                    Ok(_) => reconciled = Some(Instant::now()),
                    Err(error) => tracing::warn!(%error, "reconciliation failed, trying again"),
                }
            }
            if shutdown.run_until_cancelled(tokio::time::sleep(interval)).await.is_none() {
                break;
            }
        }
        if let Some(worker) = &self.worker
            && let Err(error) = self.queue.sign_off(&worker.name).await
        {
            tracing::debug!(%error, "this worker could not sign off");
        }
    }

    async fn round(&self) -> Result<(), DatabaseError> {
        if let Some(worker) = &self.worker {
            self.queue.enrol(worker).await?;
        }
        // Whatever works here can see whether others of this machine are gone.
        if let Some(process) = identity::this_process() {
            self.queue.take_back_of(&process.machine, identity::is_there).await?;
        }
        self.queue.reap().await?;
        Ok(())
    }
}

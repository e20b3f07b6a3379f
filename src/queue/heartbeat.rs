//! Heartbeat: extends the lease, carries progress up and cancellation down.

use std::time::Duration;

use secateur_core::stage::Stage;
use secateur_core::wire::Progress;

use super::{Queue, Written, events, lock_for};
use crate::database::DatabaseError;
use crate::job::Event;
use crate::table::job;
use crate::table::task::lease::{self, Lease};

/// A job has at most two events of progress a second, however many of its tasks run; their rows have every figure.
const BETWEEN_EVENTS: Duration = Duration::from_millis(500);

/// A figure of progress and the task that it is of.
#[derive(Debug, Clone, Copy)]
struct Report<'a> {
    stage: Stage,
    index: usize,
    progress: &'a Progress,
}

impl Queue {
    /// Extends a lease; `progress` is given when it changed since the last heartbeat.
    pub async fn heartbeat(
        &self,
        lease: &Lease,
        stage: Stage,
        index: usize,
        progress: Option<&Progress>,
    ) -> Result<Written, DatabaseError> {
        let mut transaction = self.database.begin().await?;
        let written = match lock_for(&mut transaction, lease).await? {
            Err(refused) => refused,
            Ok(job) if job.paused_at.is_some() => Written::Paused,
            Ok(_) => {
                lease::heartbeat(&mut *transaction, lease, self.lease, progress).await?;
                if let Some(progress) = progress
                    && job::take_turn_for_progress(&mut *transaction, lease.job, BETWEEN_EVENTS).await?
                {
                    let event = Report { stage, index, progress }.event();
                    events::append(&mut transaction, lease.job, &event).await?;
                }
                Written::Accepted
            }
        };
        transaction.commit().await?;
        Ok(written)
    }
}

impl Report<'_> {
    fn event(self) -> Event {
        let Progress { done, total, unit, rate, note } = self.progress.clone();
        Event::Progress { stage: self.stage, index: self.index, done, total, unit, rate, note }
    }
}

//! Heartbeat: extends the lease, carries progress up and cancellation down.

use secateur_core::stage::Stage;
use secateur_core::wire::Progress;

use super::{Queue, Written, events, lock_for};
use crate::database::DatabaseError;
use crate::job::Event;
use crate::table::task::{self, Lease};

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
            Ok(_) => {
                task::heartbeat(&mut *transaction, lease, self.lease, progress).await?;
                if let Some(progress) = progress {
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

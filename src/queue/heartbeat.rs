//! Heartbeat: extends the lease, carries progress up and cancellation down.

use std::time::Duration;

use secateur_core::stage::Stage;
use secateur_core::wire::{Progress, Reading};

use super::{Queue, Written, events, lock_for};
use crate::database::DatabaseError;
use crate::job::Event;
use crate::table::job;
use crate::table::task::lease::{self, Lease};

/// A job has at most two events of progress a second, however many of its tasks run; their rows have every figure.
const BETWEEN_EVENTS: Duration = Duration::from_millis(500);

/// What a task has to tell of itself.
#[derive(Debug, Clone, Copy)]
pub struct Report<'a> {
    pub progress: &'a Progress,
    /// What it measured since a heartbeat was last told.
    pub readings: &'a [Reading],
}

/// What became of a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beat {
    pub written: Written,
    /// Whether the report became an event. If not, another task of the job spoke less than half a second ago, and the readings are to be
    /// reported again.
    pub is_told: bool,
}

impl Queue {
    /// Extends a lease; `report` is given when there is something new since the last heartbeat.
    pub async fn heartbeat(
        &self,
        lease: &Lease,
        stage: Stage,
        index: usize,
        report: Option<Report<'_>>,
    ) -> Result<Beat, DatabaseError> {
        let mut transaction = self.database.begin().await?;
        let mut is_told = false;
        let written = match lock_for(&mut transaction, lease).await? {
            Err(refused) => refused,
            Ok(job) if job.paused_at.is_some() => Written::Paused,
            Ok(_) => {
                let progress = report.map(|report| report.progress);
                lease::heartbeat(&mut *transaction, lease, self.lease, progress).await?;
                if let Some(report) = report
                    && job::take_turn_for_progress(&mut *transaction, lease.job, BETWEEN_EVENTS).await?
                {
                    events::append(&mut transaction, lease.job, &report.event(stage, index)).await?;
                    is_told = true;
                }
                Written::Accepted
            }
        };
        transaction.commit().await?;
        Ok(Beat { written, is_told })
    }
}

impl Report<'_> {
    fn event(self, stage: Stage, index: usize) -> Event {
        let Progress { done, total, unit, rate, note } = self.progress.clone();
        Event::Progress { stage, index, done, total, unit, rate, note, readings: self.readings.to_vec() }
    }
}

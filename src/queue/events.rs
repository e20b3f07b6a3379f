//! Appending events, under the job's row lock.

use super::outbox;
use crate::database::{DatabaseError, Transaction};
use crate::id::JobId;
use crate::job::Event;
use crate::table::{event, job};

/// Appends an event and tells those who wait.
pub(super) async fn append(transaction: &mut Transaction, job: JobId, event: &Event) -> Result<(), DatabaseError> {
    let seq = job::next_event(&mut **transaction, job).await?;
    event::insert(&mut **transaction, job, seq, event).await?;
    outbox::post(transaction, job, seq, event).await?;
    super::notify_job(transaction, job).await
}

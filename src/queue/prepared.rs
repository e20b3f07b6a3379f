//! What a job prepares of its data set is kept for later jobs that want the same, and what earlier ones have prepared is offered to it.
//!
//! A claim offers: it takes the row, so that it is used last, and writes it down with the task, so that it stays. `finish` records: what a
//! task has made becomes a row that is offered to later jobs, unless another job was faster; then it is this job's alone and goes with its
//! end. What was offered and turned out to be missing or damaged is withdrawn. [`Queue::evict_prepared`] lets go of what is too much.
//!
//! A row that an unfinished job needs is never deleted: a claim and an eviction that meet lock the same row, and the eviction
//! looks again once it has it.

use std::time::Duration;

use secateur_core::stage::prepare::EARLIER_SAMPLES;
use secateur_core::stage::{PlannedTask, Source, TaskResult};

use super::Queue;
use crate::blob::BlobKey;
use crate::database::{DatabaseError, Transaction};
use crate::table::job::Job;
use crate::table::prepared::{self, NewPrepared, Offer, Prepared};
use crate::table::task::lease::Lease;
use crate::table::{loose_blob, task};

/// What became of the arrays that a task was to prepare.
#[derive(Debug, Clone, Default)]
pub struct ForLaterJobs {
    /// Made by the task and kept for later jobs. Not among its outputs.
    pub made: Option<NewPrepared>,
    /// Offered to the task and missing or damaged.
    pub refused: Option<BlobKey>,
}

/// The fingerprint of the arrays that a task may take over.
pub fn fingerprint(plan: &PlannedTask) -> Option<&str> {
    plan.inputs.iter().find_map(|input| match &input.source {
        Source::Prepared { fingerprint } if input.name == EARLIER_SAMPLES => Some(fingerprint.as_str()),
        _ => None,
    })
}

/// What an earlier job has left for a task that is being claimed.
pub(super) async fn offer(
    transaction: &mut Transaction,
    job: &Job,
    lease: &Lease,
    plan: &PlannedTask,
) -> Result<Option<Prepared>, DatabaseError> {
    let (Some(fingerprint), Some(dataset)) = (fingerprint(plan), job.dataset_id) else { return Ok(None) };
    let offered = prepared::take(&mut **transaction, dataset, fingerprint).await?;
    task::set_prepared(&mut **transaction, lease.task, offered.as_ref().map(|offered| &offered.blob)).await?;
    Ok(offered)
}

/// Records what became of the arrays of a task that has finished.
pub(super) async fn record(
    transaction: &mut Transaction,
    lease: &Lease,
    result: &TaskResult,
    left: &ForLaterJobs,
) -> Result<(), DatabaseError> {
    let TaskResult::Prepare(result) = result else { return Ok(()) };
    if result.is_taken_over {
        return Ok(());
    }
    let ForLaterJobs { made, refused } = left;
    if let Some(refused) = refused {
        prepared::withdraw(&mut **transaction, refused).await?;
    }
    if let Some(made) = made {
        // Nobody has freed it meanwhile, and nobody will.
        if !loose_blob::remove(&mut **transaction, &made.blob).await? {
            return Err(DatabaseError::unreadable("loose_blob", format!("{} is freed already", made.blob)));
        }
        if !prepared::insert(&mut **transaction, made, Offer::ToAll).await? {
            prepared::insert(&mut **transaction, made, Offer::ToNone).await?;
        }
    }
    task::set_prepared(&mut **transaction, lease.task, made.as_ref().map(|made| &made.blob)).await
}

impl Queue {
    /// Lets go of one blob of arrays that no unfinished job needs, when all together take more than so many bytes or nobody may take it
    /// over; `false` when there is none. It becomes loose.
    pub async fn evict_prepared(&self, most_bytes: u64) -> Result<bool, DatabaseError> {
        let mut transaction = self.database.begin().await?;
        let Some(blob) = prepared::claim_superfluous(&mut *transaction, most_bytes).await? else { return Ok(false) };
        if prepared::delete_unneeded(&mut *transaction, &blob).await? {
            loose_blob::insert(&mut *transaction, &blob, Duration::ZERO).await?;
        }
        transaction.commit().await?;
        Ok(true)
    }
}

//! Claim: a worker takes the first task of the oldest job, or of the oldest inspection.

use secateur_core::stage::prepare::SAMPLES;
use secateur_core::stage::{PlannedTask, Source, Stage};

use super::{Queue, events, prepared};
use crate::blob::BlobKey;
use crate::database::{DatabaseError, Transaction};
use crate::id::{DatasetId, ModelId};
use crate::job::{Event, JobStatus, Order};
use crate::table::prepared::Prepared;
use crate::table::task::{self, ClaimedRow, Lease, Share};
use crate::table::{artifact, dataset, job, model};

/// A task with everything that its worker needs.
#[derive(Debug, Clone)]
pub struct ClaimedTask {
    pub lease: Lease,
    pub stage: Stage,
    pub plan: PlannedTask,
    pub order: Order,
    pub model_id: ModelId,
    pub dataset_id: Option<DatasetId>,
    pub inputs: Vec<InputBlob>,
    /// What an earlier job has prepared of the same data set, for a task that would prepare the same.
    pub earlier: Option<Prepared>,
    /// What an earlier attempt left.
    pub checkpoint: Option<BlobKey>,
}

/// A file that the task finds in its folder under `name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputBlob {
    pub name: String,
    pub blob: BlobKey,
}

/// How often a claim that met a locked job is tried again before the worker waits for its next turn.
const TRIES: usize = 5;

impl Queue {
    /// Leases a task of a share to a worker; `None` when there is none to be had now.
    pub async fn claim(&self, worker: &str, share: Share) -> Result<Option<ClaimedTask>, DatabaseError> {
        for _ in 0..TRIES {
            let mut transaction = self.database.begin().await?;
            let Some(row) = task::claim(&mut *transaction, worker, share, self.lease).await? else { return Ok(None) };
            if let Some(claimed) = complete(&mut transaction, row).await? {
                transaction.commit().await?;
                return Ok(Some(claimed));
            }
            // Said aloud: one that is dropped may still hold the task's lock at the next claim.
            transaction.rollback().await?;
        }
        Ok(None)
    }
}

/// Marks the job as running and resolves the inputs; `None` when the job's row is locked.
///
/// This is the one place that holds a task's lock before its job's, so it never waits for the job's.
async fn complete(transaction: &mut Transaction, row: ClaimedRow) -> Result<Option<ClaimedTask>, DatabaseError> {
    let id = row.lease.job;
    let mut job = job::find(&mut **transaction, id).await?.expect("a task's row refers to its job");
    if job.status == JobStatus::Queued {
        if !job::lock_if_free(&mut **transaction, id).await? {
            return Ok(None);
        }
        job = job::find(&mut **transaction, id).await?.expect("a locked row is there");
        if job.status == JobStatus::Queued {
            job::set_running(&mut **transaction, id).await?;
            events::append(transaction, id, &Event::Running {}).await?;
            let stage = Event::Stage { stage: row.stage, tasks: 1 };
            events::append(transaction, id, &stage).await?;
        }
    }
    let inputs = resolve(transaction, &job, &row.plan).await?;
    let earlier = prepared::offer(transaction, &job, &row.lease, &row.plan).await?;
    Ok(Some(ClaimedTask {
        lease: row.lease,
        stage: row.stage,
        plan: row.plan,
        order: job.order,
        model_id: job.model_id,
        dataset_id: job.dataset_id,
        inputs,
        earlier,
        checkpoint: row.checkpoint,
    }))
}

/// The blobs of a task's inputs; what is only offered is not among them.
async fn resolve(
    transaction: &mut Transaction,
    job: &job::Job,
    plan: &PlannedTask,
) -> Result<Vec<InputBlob>, DatabaseError> {
    let artifacts = artifact::list(&mut **transaction, job.id).await?;
    let missing = |what: String| DatabaseError::unreadable("task", format!("input {what} is not there"));
    let mut inputs = Vec::new();
    for input in &plan.inputs {
        let blob = match &input.source {
            Source::Model => {
                let model = model::find(&mut **transaction, job.model_id).await?;
                model.ok_or_else(|| missing("model".to_owned()))?.blob
            }
            Source::Dataset => {
                let id = job.dataset_id.ok_or_else(|| missing("dataset".to_owned()))?;
                let dataset = dataset::find(&mut **transaction, id).await?;
                dataset.ok_or_else(|| missing("dataset".to_owned()))?.blob
            }
            Source::Prepared { .. } => continue,
            Source::Output { stage, index, name } => {
                let output = artifacts
                    .iter()
                    .find(|artifact| artifact.stage == *stage && artifact.index == *index && artifact.name == *name);
                let blob = match output {
                    Some(output) => Some(output.blob.clone()),
                    None if name == SAMPLES => task::prepared(&mut **transaction, job.id).await?,
                    None => None,
                };
                blob.ok_or_else(|| missing(format!("{}/{index}/{name}", stage.as_str())))?
            }
        };
        inputs.push(InputBlob { name: input.name.clone(), blob });
    }
    Ok(inputs)
}

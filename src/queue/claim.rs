//! Claim: a worker takes the task whose turn it is ([`lease::claim`]), of a job or an inspection.

use secateur_core::stage::prepare::SAMPLES;
use secateur_core::stage::{PlannedTask, Source, Stage};

use super::fail::end_job;
use super::{Capacity, Queue, events, prepared};
use crate::blob::BlobKey;
use crate::database::{DatabaseError, Transaction};
use crate::digest::Sha256;
use crate::id::{DatasetId, ModelId};
use crate::job::{Event, JobError, JobStatus, Order};
use crate::table::prepared::Prepared;
use crate::table::task::lease::{self, ClaimedRow, Lease, Share};
use crate::table::task::{self, TaskState};
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
    /// Where in a distributed trace its job was submitted.
    pub traceparent: Option<String>,
}

/// A file that the task finds in its folder under `name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputBlob {
    pub name: String,
    pub blob: BlobKey,
    /// What was recorded of its content.
    pub sha256: Option<Sha256>,
}

/// How often a claim that met a locked job is tried again before the worker waits for its next turn.
const TRIES: usize = 5;

impl Queue {
    /// Leases a task of a share to a worker that has the capacity for it; `None` when there is none to be had now.
    pub async fn claim(
        &self,
        worker: &str,
        share: Share,
        capacity: Capacity,
    ) -> Result<Option<ClaimedTask>, DatabaseError> {
        for _ in 0..TRIES {
            let mut transaction = self.database.begin().await?;
            let claimed = lease::claim(&mut *transaction, worker, share, capacity, self.lease).await?;
            let Some(row) = claimed else { return Ok(None) };
            let (lease, stage) = (row.lease, row.stage);
            let unreadable = match complete(&mut transaction, row).await {
                Ok(Some(claimed)) => {
                    transaction.commit().await?;
                    return Ok(Some(claimed));
                }
                Ok(None) => None,
                Err(error @ DatabaseError::Unreadable { .. }) => Some(error),
                Err(error) => return Err(error),
            };
            // Said aloud: one that is dropped may still hold the task's lock at the next claim.
            transaction.rollback().await?;
            if let Some(error) = unreadable {
                self.give_up(&lease, stage, &error).await?;
            }
        }
        Ok(None)
    }

    /// Fails the job of a task that cannot be handed out, such as one that another version of this program has planned: it would be met
    /// first at every claim, and nobody would get any task.
    async fn give_up(&self, lease: &Lease, stage: Stage, error: &DatabaseError) -> Result<(), DatabaseError> {
        let mut transaction = self.database.begin().await?;
        if !job::lock(&mut *transaction, lease.job).await? {
            return Ok(());
        }
        let standing = lease::standing(&mut *transaction, lease.task).await?;
        if standing.is_none_or(|standing| standing.state != TaskState::Queued) {
            return Ok(());
        }
        tracing::error!(job = %lease.job, task = %lease.task, %error, "a task cannot be handed out");
        end_job(&mut transaction, lease.job, JobError::internal(stage, error.to_string())).await?;
        transaction.commit().await?;
        Ok(())
    }
}

/// Marks the job as running and resolves the inputs; `None` when the job's row is locked.
///
/// This is the one place that holds a task's lock before its job's, so it never waits for the job's.
async fn complete(transaction: &mut Transaction, row: ClaimedRow) -> Result<Option<ClaimedTask>, DatabaseError> {
    let id = row.lease.job;
    let plan = row.plan?;
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
    let inputs = resolve(transaction, &job, &plan).await?;
    let earlier = prepared::offer(transaction, &job, &row.lease, &plan).await?;
    Ok(Some(ClaimedTask {
        lease: row.lease,
        stage: row.stage,
        plan,
        order: job.order,
        model_id: job.model_id,
        dataset_id: job.dataset_id,
        inputs,
        earlier,
        checkpoint: row.checkpoint,
        traceparent: job.traceparent,
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
        let (blob, sha256) = match &input.source {
            Source::Model => {
                let model = model::find(&mut **transaction, job.model_id).await?;
                let model = model.ok_or_else(|| missing("model".to_owned()))?;
                (model.blob, Some(model.sha256))
            }
            Source::Dataset => {
                let id = job.dataset_id.ok_or_else(|| missing("dataset".to_owned()))?;
                let dataset = dataset::find(&mut **transaction, id).await?;
                let dataset = dataset.ok_or_else(|| missing("dataset".to_owned()))?;
                (dataset.blob, Some(dataset.sha256))
            }
            Source::Prepared { .. } => continue,
            Source::Output { stage, index, name } => {
                let output = artifacts
                    .iter()
                    .find(|artifact| artifact.stage == *stage && artifact.index == *index && artifact.name == *name);
                let found = match output {
                    Some(output) => Some((output.blob.clone(), Some(output.sha256))),
                    // The engine knows its digest.
                    None if name == SAMPLES => {
                        task::prepared(&mut **transaction, job.id).await?.map(|prepared| (prepared, None))
                    }
                    None => None,
                };
                found.ok_or_else(|| missing(format!("{}/{index}/{name}", stage.as_str())))?
            }
        };
        inputs.push(InputBlob { name: input.name.clone(), blob, sha256 });
    }
    Ok(inputs)
}

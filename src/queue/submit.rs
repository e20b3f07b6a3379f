//! Submit and inspect: a job and the task of its first stage, in one transaction.

use secateur_core::spec::{InspectionSpec, JobSpec};
use secateur_core::stage::{self, JobView, Measurements};

use super::{Queue, events, notify_tasks};
use crate::access::{Caller, Tenant};
use crate::database::{DatabaseError, Transaction};
use crate::digest::Sha256;
use crate::id::{DatasetId, JobId, ModelId};
use crate::job::{Event, Order};
use crate::quota::{QuotaExceeded, Quotas};
use crate::table::job::{self, NewJob};
use crate::table::model::{self, Model};
use crate::table::{dataset, task};
use crate::trace;

/// What is to be done with what was uploaded.
#[derive(Debug, Clone)]
pub struct NewSubmission {
    /// Whose model and data set they are, and whose job it will be.
    pub caller: Caller,
    pub spec: JobSpec,
    pub model_id: ModelId,
    pub dataset_id: Option<DatasetId>,
    /// The job that it was made from.
    pub clone_of: Option<JobId>,
    pub idempotency_key: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Submitted {
    Created(JobId),
    /// The same was asked before under the same key; this is the job that it made.
    Replayed(JobId),
    /// Something else was asked before under the same key.
    KeyReused(JobId),
    QuotaExceeded(QuotaExceeded),
    /// The model was deleted meanwhile.
    NoSuchModel(ModelId),
    /// The data set was deleted meanwhile.
    NoSuchDataset(DatasetId),
}

impl Queue {
    pub async fn submit(&self, submission: NewSubmission, quotas: Quotas) -> Result<Submitted, DatabaseError> {
        let request_sha256 = digest_of(&submission);
        let NewSubmission { caller, spec, model_id, dataset_id, clone_of, idempotency_key } = submission;
        let id = JobId::generate();
        let tenant = caller.tenant.clone();
        let order = Order::Prune(Box::new(spec));
        let traceparent = trace::current();
        let new =
            NewJob { id, tenant, order, model_id, dataset_id, clone_of, idempotency_key, request_sha256, traceparent };

        let mut transaction = self.database.begin().await?;
        if !model::hold(&mut *transaction, model_id).await? {
            return Ok(Submitted::NoSuchModel(model_id));
        }
        if let Some(id) = dataset_id
            && !dataset::hold(&mut *transaction, id).await?
        {
            return Ok(Submitted::NoSuchDataset(id));
        }
        let within_quota = quotas.check_jobs(&mut transaction, &caller).await?;
        if !insert(&mut transaction, &new).await? {
            let key = new.idempotency_key.as_deref().unwrap_or_default();
            let (holder, digest) = job::find_by_idempotency_key(&mut *transaction, &new.tenant, key)
                .await?
                .ok_or_else(|| DatabaseError::Collision("the job with this key is gone".to_owned()))?;
            let same = digest == new.request_sha256.to_string();
            return Ok(if same { Submitted::Replayed(holder) } else { Submitted::KeyReused(holder) });
        }
        // Asked after the idempotency key: a request that is repeated makes no new job.
        if let Err(exceeded) = within_quota {
            return Ok(Submitted::QuotaExceeded(exceeded));
        }
        transaction.commit().await?;
        Ok(Submitted::Created(id))
    }

    /// Has a tenant's model inspected with the input shape that `inspection` has, unless that is known or being done. One that looks with another
    /// shape is cancelled.
    pub async fn inspect(
        &self,
        tenant: &Tenant,
        model: &Model,
        inspection: InspectionSpec,
    ) -> Result<(), DatabaseError> {
        if is_known(model, &inspection) {
            return Ok(());
        }
        if let Some(pending) = model.inspection.as_ref().filter(|inspection| !inspection.status.is_final()) {
            let asked = job::find(self.database.pool(), pending.job).await?;
            if asked.is_some_and(|asked| asked.order == Order::Inspect(inspection.clone())) {
                return Ok(());
            }
            self.cancel(pending.job).await?;
        }
        let new = NewJob {
            id: JobId::generate(),
            tenant: tenant.clone(),
            request_sha256: Sha256::of(&[]),
            order: Order::Inspect(inspection),
            model_id: model.id,
            dataset_id: None,
            clone_of: None,
            idempotency_key: None,
            traceparent: trace::current(),
        };
        let mut transaction = self.database.begin().await?;
        if !model::hold(&mut *transaction, model.id).await? {
            return Ok(());
        }
        job::delete_ended_inspections(&mut *transaction, model.id).await?;
        insert(&mut transaction, &new).await?;
        transaction.commit().await?;
        Ok(())
    }
}

/// Whether the model's summary is of this input shape, or of any when none is asked for.
fn is_known(model: &Model, inspection: &InspectionSpec) -> bool {
    let Some(summary) = &model.summary else { return false };
    inspection.inputs.is_none() && inspection.input_shape.as_ref().is_none_or(|shape| shape.shapes() == summary.inputs)
}

/// Inserts a job with the tasks of its first stage; `false` when its idempotency key is taken.
async fn insert(transaction: &mut Transaction, new: &NewJob) -> Result<bool, DatabaseError> {
    let stage = new.order.first_stage();
    let tasks = match &new.order {
        Order::Inspect(inspection) => vec![stage::inspect::task(inspection.clone())],
        Order::Prune(spec) => {
            let has_dataset = new.dataset_id.is_some();
            let view = JobView { spec, has_dataset, finished: &[], reused: Measurements::NONE };
            let plan = stage::plan(stage, view, Measurements::NONE);
            plan.expect("the first stage needs no earlier one").tasks
        }
    };
    if !job::insert(&mut **transaction, new).await? {
        return Ok(false);
    }
    for planned in &tasks {
        task::insert(&mut **transaction, new.id, stage, planned, new.order.terms()).await?;
    }
    events::append(transaction, new.id, &Event::Queued {}).await?;
    notify_tasks(transaction).await?;
    Ok(true)
}

/// Uploads are deduplicated by content, so equal ids mean equal bytes.
fn digest_of(submission: &NewSubmission) -> Sha256 {
    let spec = serde_json::to_string(&submission.spec).expect("a spec serialises");
    let dataset = submission.dataset_id.map(|id| id.to_string()).unwrap_or_default();
    Sha256::of(format!("{}\n{dataset}\n{spec}", submission.model_id).as_bytes())
}

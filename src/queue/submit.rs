//! Submit: a job and the task of its first stage, in one transaction.

use secateur_core::measurement::Measurements;
use secateur_core::spec::JobSpec;
use secateur_core::stage::{self, JobView, Stage};

use super::{Queue, events, notify_tasks};
use crate::database::DatabaseError;
use crate::digest::Sha256;
use crate::id::{DatasetId, JobId, ModelId};
use crate::job::Event;
use crate::table::{job, task};

/// What is to be done with what was uploaded.
#[derive(Debug, Clone)]
pub struct NewSubmission {
    pub spec: JobSpec,
    pub model_id: ModelId,
    pub dataset_id: Option<DatasetId>,
    pub idempotency_key: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Submitted {
    Created(JobId),
    /// The same was asked before under the same key; this is the job that it made.
    Replayed(JobId),
    /// Something else was asked before under the same key.
    KeyReused(JobId),
}

impl Queue {
    pub async fn submit(&self, submission: NewSubmission) -> Result<Submitted, DatabaseError> {
        let request_sha256 = digest_of(&submission);
        let NewSubmission { spec, model_id, dataset_id, idempotency_key } = submission;
        let stage = Stage::Import;
        let has_dataset = dataset_id.is_some();
        let view = JobView { spec: &spec, has_dataset, finished: &[], reused: Measurements::NONE };
        let plan = stage::plan(stage, view, Measurements::NONE).expect("the first stage needs no earlier one");
        let new =
            job::NewJob { id: JobId::generate(), stage, spec, model_id, dataset_id, idempotency_key, request_sha256 };

        let mut transaction = self.database.begin().await?;
        if !job::insert(&mut *transaction, &new).await? {
            let key = new.idempotency_key.as_deref().unwrap_or_default();
            let (holder, digest) = job::find_by_idempotency_key(&mut *transaction, key)
                .await?
                .ok_or_else(|| DatabaseError::Collision("the job with this key is gone".to_owned()))?;
            let same = digest == new.request_sha256.to_string();
            return Ok(if same { Submitted::Replayed(holder) } else { Submitted::KeyReused(holder) });
        }
        for planned in &plan.tasks {
            task::insert(&mut *transaction, new.id, stage, planned).await?;
        }
        events::append(&mut transaction, new.id, &Event::Queued {}).await?;
        notify_tasks(&mut transaction).await?;
        transaction.commit().await?;
        Ok(Submitted::Created(new.id))
    }
}

/// Uploads are deduplicated by content, so equal ids mean equal bytes.
fn digest_of(submission: &NewSubmission) -> Sha256 {
    let spec = serde_json::to_string(&submission.spec).expect("a spec serialises");
    let dataset = submission.dataset_id.map(|id| id.to_string()).unwrap_or_default();
    Sha256::of(format!("{}\n{dataset}\n{spec}", submission.model_id).as_bytes())
}

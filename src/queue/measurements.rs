//! What a job measures is kept for later jobs on the same model and data set, and what earlier ones measured is known.

use secateur_core::measurement::{self, Measurements, Subject};
use secateur_core::stage::{FinishedTask, Stage};
use secateur_core::task::TaskResult;

use crate::database::{DatabaseError, Transaction};
use crate::id::DatasetId;
use crate::table::job::Job;
use crate::table::{self, dataset, model};

/// Keeps what a task of `stage` brought.
pub(super) async fn keep(
    transaction: &mut Transaction,
    job: &Job,
    stage: Stage,
    result: &TaskResult,
    finished: &[FinishedTask],
) -> Result<(), DatabaseError> {
    let brought = measurement::brought(result, job.view(finished));
    if brought.is_empty() {
        return Ok(());
    }
    let Some((fingerprint, dataset)) = fingerprint(transaction, stage, job, finished).await? else { return Ok(()) };
    table::measurement::insert(&mut **transaction, &fingerprint, job.model_id, dataset, brought).await
}

/// What is known of all that `stage` would measure.
pub(super) async fn known(
    transaction: &mut Transaction,
    stage: Stage,
    job: &Job,
    finished: &[FinishedTask],
) -> Result<Measurements, DatabaseError> {
    let names = measurement::names(stage, job.view(finished));
    if names.is_empty() {
        return Ok(Measurements::default());
    }
    let Some((fingerprint, _)) = fingerprint(transaction, stage, job, finished).await? else {
        return Ok(Measurements::default());
    };
    let kept = table::measurement::find(&mut **transaction, &fingerprint, job.model_id, &names).await?;
    Ok(measurement::known(stage, job.view(finished), &kept))
}

/// What a stage's measurements are kept under; `None` when they are not.
async fn fingerprint(
    transaction: &mut Transaction,
    stage: Stage,
    job: &Job,
    finished: &[FinishedTask],
) -> Result<Option<(String, DatasetId)>, DatabaseError> {
    let Some(dataset_id) = job.dataset_id else { return Ok(None) };
    let model = model::find(&mut **transaction, job.model_id).await?.expect("a job's row refers to its model");
    let dataset = dataset::find(&mut **transaction, dataset_id).await?.expect("a job's row refers to its data set");
    let (model_sha256, dataset_sha256) = (model.sha256.to_string(), dataset.sha256.to_string());
    let subject = Subject { model_sha256: &model_sha256, dataset_sha256: &dataset_sha256 };
    let fingerprint = measurement::fingerprint(stage, job.view(finished), subject);
    Ok(fingerprint.map(|fingerprint| (fingerprint, dataset_id)))
}

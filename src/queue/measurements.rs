//! What a job measures is kept for later jobs on the same model and data set, and what earlier ones measured is known.

use secateur_core::stage::reuse::{self, Subject};
use secateur_core::stage::{JobView, Measurements, Stage, TaskResult};

use crate::database::{DatabaseError, Transaction};
use crate::id::DatasetId;
use crate::table::job::Job;
use crate::table::{self, dataset, model};

/// Keeps what a task of `stage` brought.
pub(super) async fn keep(
    transaction: &mut Transaction,
    job: &Job,
    view: JobView<'_>,
    stage: Stage,
    result: &TaskResult,
) -> Result<(), DatabaseError> {
    let brought = reuse::brought(result, view);
    if brought.is_empty() {
        return Ok(());
    }
    let Some((fingerprint, dataset)) = fingerprint(transaction, job, view, stage).await? else { return Ok(()) };
    table::measurement::insert(&mut **transaction, &fingerprint, job.model_id, dataset, brought).await
}

/// What is known of all that `stage` would measure.
pub(super) async fn known(
    transaction: &mut Transaction,
    job: &Job,
    view: JobView<'_>,
    stage: Stage,
) -> Result<Measurements, DatabaseError> {
    let names = reuse::names(stage, view);
    if names.is_empty() {
        return Ok(Measurements::default());
    }
    let Some((fingerprint, _)) = fingerprint(transaction, job, view, stage).await? else {
        return Ok(Measurements::default());
    };
    let kept = table::measurement::find(&mut **transaction, &fingerprint, job.model_id, &names).await?;
    Ok(reuse::known(stage, view, &kept))
}

/// What a stage's measurements are kept under; `None` when they are not.
async fn fingerprint(
    transaction: &mut Transaction,
    job: &Job,
    view: JobView<'_>,
    stage: Stage,
) -> Result<Option<(String, DatasetId)>, DatabaseError> {
    let Some(dataset_id) = job.dataset_id else { return Ok(None) };
    let model = model::find(&mut **transaction, job.model_id).await?.expect("a job's row refers to its model");
    let dataset = dataset::find(&mut **transaction, dataset_id).await?.expect("a job's row refers to its data set");
    let (model_sha256, dataset_sha256) = (model.sha256.to_string(), dataset.sha256.to_string());
    let subject = Subject { model_sha256: &model_sha256, dataset_sha256: &dataset_sha256 };
    let fingerprint = reuse::fingerprint(stage, view, subject);
    Ok(fingerprint.map(|fingerprint| (fingerprint, dataset_id)))
}

//! What a job measures is kept for later jobs on the same model and data set, and what earlier ones measured is known.

use secateur_core::stage::reuse::{self, Subject};
use secateur_core::stage::{JobView, Measurements, Stage};
use secateur_core::wire::Computed;

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
    computed: &Computed,
) -> Result<(), DatabaseError> {
    let brought = reuse::brought(&computed.result, view);
    if brought.is_empty() {
        return Ok(());
    }
    let Some((fingerprint, dataset)) = fingerprint(transaction, job, view, stage).await? else { return Ok(()) };
    let seconds_each = computed.computing_s.unwrap_or_default() / brought.len() as f64;
    table::measurement::insert(&mut **transaction, &fingerprint, job.model_id, dataset, brought, seconds_each).await
}

/// What is known of all that `stage` would measure, and the seconds that each took on average.
pub(super) async fn known(
    transaction: &mut Transaction,
    job: &Job,
    view: JobView<'_>,
    stage: Stage,
) -> Result<(Measurements, f64), DatabaseError> {
    let nothing = (Measurements::default(), 0.0);
    let names = reuse::names(stage, view);
    if names.is_empty() {
        return Ok(nothing);
    }
    let Some((fingerprint, _)) = fingerprint(transaction, job, view, stage).await? else { return Ok(nothing) };
    let (kept, seconds) = table::measurement::find(&mut **transaction, &fingerprint, job.model_id, &names).await?;
    Ok((reuse::known(stage, view, &kept), seconds / kept.len().max(1) as f64))
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

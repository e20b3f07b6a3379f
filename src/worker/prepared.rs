//! What a task of the stage `prepare` is given of an earlier job, and what it leaves for later ones.
//!
//! Nothing here fails a task. What cannot be had is prepared anew, and what cannot be kept for later jobs is an output like others.

use std::path::{Path, PathBuf};
use std::time::Duration;

use secateur_core::dataset::DatasetSummary;
use secateur_core::stage::TaskResult;
use secateur_core::stage::import::DATASET_SUMMARY;
use secateur_core::stage::prepare::{EARLIER_FACTS, EARLIER_SAMPLES, PrepareResult, SAMPLES};

use super::Worker;
use crate::blob::{BlobError, BlobKey, Loan};
use crate::database::retry_while_away;
use crate::digest::Sha256;
use crate::queue::{ClaimedTask, ForLaterJobs, fingerprint};
use crate::table::loose_blob;
use crate::table::prepared::{NewPrepared, Prepared};

/// A blob that was stored and has no row after this is one of an attempt that failed.
const TIME_TO_RECORD: Duration = Duration::from_hours(24);
/// How long it is tried to write that down while the database is away.
const PATIENCE: Duration = Duration::from_secs(30);

/// What an earlier job has left, as far as this worker takes such things over.
fn offered<'a>(worker: &Worker, task: &'a ClaimedTask) -> Option<&'a Prepared> {
    task.earlier.as_ref().filter(|_| worker.options.keeps_prepared)
}

/// Puts what an earlier job has left into the task's folder. Where only the facts are there, the engine says so and prepares anew.
pub(super) async fn fetch(worker: &Worker, task: &ClaimedTask, folder: &Path) -> Result<Option<Loan>, BlobError> {
    let Some(Prepared { blob, facts }) = offered(worker, task) else { return Ok(None) };
    let facts = serde_json::to_vec(facts).expect("facts have string keys and serialise without errors");
    tokio::fs::write(folder.join(EARLIER_FACTS), facts).await?;
    let path = folder.join(EARLIER_SAMPLES);
    match worker.blobs.place(blob, None, &path).await {
        Ok(lent) => Ok(lent),
        Err(error) => {
            tracing::warn!(%blob, %error, "what an earlier job has prepared could not be fetched, preparing anew");
            let _ = tokio::fs::remove_file(&path).await;
            Ok(None)
        }
    }
}

/// Whether a result is one that this task can have: what was not offered is not taken over.
pub(super) fn is_possible(worker: &Worker, task: &ClaimedTask, result: &TaskResult) -> bool {
    let claims_to_have = matches!(result, TaskResult::Prepare(PrepareResult { is_taken_over: true, .. }));
    !claims_to_have || offered(worker, task).is_some()
}

/// Stores what a task has prepared for later jobs, and takes it out of the files that are outputs of this one.
pub(super) async fn keep(
    worker: &Worker,
    task: &ClaimedTask,
    result: &TaskResult,
    written: &mut Vec<(String, PathBuf)>,
) -> Result<ForLaterJobs, BlobError> {
    let TaskResult::Prepare(result) = result else { return Ok(ForLaterJobs::default()) };
    if result.is_taken_over {
        return Ok(ForLaterJobs::default());
    }
    let refused = offered(worker, task).map(|offered| offered.blob.clone());
    let made = match written.iter().position(|(name, _)| name == SAMPLES) {
        Some(samples) if worker.options.keeps_prepared => {
            let made = store(worker, task, result, &written[samples].1, written).await?;
            if made.is_some() {
                written.remove(samples);
            }
            made
        }
        _ => None,
    };
    Ok(ForLaterJobs { made, refused })
}

async fn store(
    worker: &Worker,
    task: &ClaimedTask,
    result: &PrepareResult,
    samples: &Path,
    written: &[(String, PathBuf)],
) -> Result<Option<NewPrepared>, BlobError> {
    let (Some(fingerprint), Some(dataset)) = (fingerprint(&task.plan), task.dataset_id) else { return Ok(None) };
    let Some(summary) = read_summary(written).await else { return Ok(None) };
    let blob = BlobKey::prepared(dataset, task.lease.task, task.lease.attempt);
    let database = worker.queue.database();
    let written_down = retry_while_away("write down a blob", PATIENCE, || async {
        loose_blob::insert(database.pool(), &blob, TIME_TO_RECORD).await
    });
    if let Err(error) = written_down.await {
        tracing::warn!(%error, "what was prepared is not kept for later jobs");
        return Ok(None);
    }
    let (sha256, bytes) = Sha256::of_file_aside(samples).await?;
    worker.blobs.put_file(&blob, samples).await?;
    let source = result.data.source.clone();
    Ok(Some(NewPrepared { blob, dataset, fingerprint: fingerprint.to_owned(), sha256, bytes, summary, source }))
}

async fn read_summary(written: &[(String, PathBuf)]) -> Option<DatasetSummary> {
    let (_, path) = written.iter().find(|(name, _)| name == DATASET_SUMMARY)?;
    let json = tokio::fs::read(path).await.ok()?;
    serde_json::from_slice(&json).inspect_err(|error| tracing::warn!(%error, "{DATASET_SUMMARY} is not readable")).ok()
}

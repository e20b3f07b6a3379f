//! Checkpoints of one attempt: from the engine's folder to the blob store and onto the task's row, the latest one at a time.
//!
//! Nothing here fails a task. What cannot be stored is logged, and the attempt goes on without it.

use secateur_core::wire::CHECKPOINT;
use std::path::Path;
use std::time::Duration;

use tokio::sync::mpsc;

use super::Worker;
use crate::blob::BlobKey;
use crate::database::retry_while_away;
use crate::engine::{Scratch, forget_output, take_output};
use crate::queue::{ClaimedTask, Written};

/// How long one checkpoint may take to be stored; training goes on meanwhile, but its end has to wait.
const TIME_TO_STORE: Duration = Duration::from_mins(2);
/// How long it is tried to be recorded while the database is away.
const PATIENCE: Duration = Duration::from_secs(30);

/// Brings the checkpoint that an earlier attempt left into the task's folder; without it the task starts over.
pub(super) async fn fetch(worker: &Worker, task: &ClaimedTask, folder: &Path) {
    let Some(blob) = &task.checkpoint else { return };
    let path = folder.join(CHECKPOINT);
    match worker.blobs.fetch(blob, None, &path).await {
        Ok(()) => tracing::info!(%blob, "going on from a checkpoint"),
        Err(error) => {
            tracing::warn!(%blob, %error, "the checkpoint could not be fetched, starting over");
            let _ = tokio::fs::remove_file(&path).await;
        }
    }
}

/// Stores what the engine announces until it has ended; returns the key that the task's row holds then.
pub(super) async fn keep(
    worker: &Worker,
    task: &ClaimedTask,
    folder: &Path,
    mut announced: mpsc::UnboundedReceiver<String>,
) -> Option<BlobKey> {
    let mut recorded = task.checkpoint.clone();
    // The engine still runs, and must not exchange a file that is looked at.
    let private = match Scratch::create(&worker.options.scratch, "checkpoints-") {
        Ok(private) => private,
        Err(error) => {
            tracing::warn!(%error, "no folder for checkpoints, going on without them");
            return recorded;
        }
    };
    let mut count = 0;
    while let Some(mut name) = announced.recv().await {
        // Only the latest is worth storing.
        while let Ok(later) = announced.try_recv() {
            forget_output(folder, &name);
            name = later;
        }
        count += 1;
        let path = match take_output(folder, &name, private.path()) {
            Ok(path) => path,
            Err(error) => {
                tracing::warn!(error, "a checkpoint is not taken");
                forget_output(folder, &name);
                continue;
            }
        };
        match tokio::time::timeout(TIME_TO_STORE, store(worker, task, &path, count)).await {
            Ok(Some(key)) => {
                if let Some(before) = recorded.replace(key) {
                    free(worker, &before).await;
                }
            }
            Ok(None) => {}
            Err(_) => tracing::warn!(name, "storing a checkpoint takes too long, going on without it"),
        }
        let _ = tokio::fs::remove_file(path).await;
    }
    recorded
}

/// Frees a checkpoint that nobody needs any more.
pub(super) async fn free(worker: &Worker, key: &BlobKey) {
    if let Err(error) = worker.blobs.delete(std::slice::from_ref(key)).await {
        tracing::warn!(blob = %key, %error, "a checkpoint could not be freed");
    }
}

/// Uploads and records one checkpoint; `None` when that did not work.
async fn store(worker: &Worker, task: &ClaimedTask, path: &Path, count: u32) -> Option<BlobKey> {
    let lease = &task.lease;
    let key = BlobKey::checkpoint(lease.job, task.stage, task.plan.index, lease.attempt, count);
    if let Err(error) = worker.blobs.put_file(&key, path).await {
        tracing::warn!(%error, "a checkpoint could not be stored");
        return None;
    }
    match retry_while_away("checkpoint", PATIENCE, || worker.queue.checkpoint(lease, &key)).await {
        Ok(Written::Accepted) => {
            tracing::debug!(blob = %key, "checkpoint stored");
            Some(key)
        }
        Ok(refused) => {
            tracing::info!(?refused, "a checkpoint came too late");
            free(worker, &key).await;
            None
        }
        // Whether it was recorded is not known, so its blob stays; deleting the job frees what its row names.
        Err(error) => {
            tracing::warn!(%error, "a checkpoint could not be recorded");
            None
        }
    }
}

//! Upkeep: frees blobs to which no row refers, and deletes uploads and jobs that nobody has used for long, and what was prepared of data sets
//! beyond the bytes that it may take, and webhooks' secrets that sign nothing any more.
//!
//! Every server runs it; they do not disturb each other. Each deletion is a transaction that looks again under the lock, so
//! whoever comes second finds nothing. A blob is freed while its row in `loose_blob` is locked, and the row goes after it: a crash
//! between the two frees it once more. While somebody makes a backup none is freed. A round is bounded, and what is left waits for the next.

mod sweep;

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::blob::{BlobError, BlobStore};
use crate::database::DatabaseError;
use crate::queue::{Queue, Reason};
use crate::table::{dataset, expired_job, job, loose_blob, model, webhook_secret};
use crate::upload::Uploads;
use crate::upload::resumable::Resumable;

pub use sweep::{SETTLED, Swept, sweep};

/// Between two comparisons of the whole store with the tables.
const BETWEEN_SWEEPS: Duration = Duration::from_hours(24);

/// Deletions of each kind, and blobs, in one round.
const BATCH: i64 = 100;

/// How long what nobody uses is kept; `None` is for ever.
#[derive(Debug, Clone, Copy, Default)]
pub struct Keep {
    /// Models and data sets, since they were last uploaded and the last job that used them ended.
    pub uploads: Option<Duration>,
    /// Jobs, since they ended.
    pub jobs: Option<Duration>,
}

#[derive(Debug, thiserror::Error)]
pub enum UpkeepError {
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error("the folder of resumable uploads: {0}")]
    Resumable(#[from] std::io::Error),
}

/// What is cleaned up; clones share it.
#[derive(Debug, Clone)]
pub struct Upkeep {
    pub queue: Queue,
    pub uploads: Uploads,
    pub resumable: Resumable,
    pub blobs: BlobStore,
    pub keep: Keep,
    /// What is prepared of data sets may take so many bytes, beside what unfinished jobs need.
    pub prepared_cache_bytes: u64,
}

impl Upkeep {
    /// A round at every interval until `shutdown`, and a sweep every day.
    pub async fn run_until(self, interval: Duration, shutdown: CancellationToken) {
        let mut swept = Instant::now();
        loop {
            if let Err(error) = self.round().await {
                tracing::warn!(%error, "upkeep failed, trying again");
            }
            if swept.elapsed() >= BETWEEN_SWEEPS {
                match sweep(self.queue.database(), &self.blobs, SETTLED).await {
                    Ok(found) => {
                        tracing::info!(blobs = found.blobs, loose = found.loose, lost = found.lost.len(), "swept");
                    }
                    Err(error) => tracing::warn!(%error, "the sweep failed"),
                }
                swept = Instant::now();
            }
            if shutdown.run_until_cancelled(tokio::time::sleep(interval)).await.is_none() {
                return;
            }
        }
    }

    /// Deletes what has expired and frees what is loose, within bounds.
    pub async fn round(&self) -> Result<(), UpkeepError> {
        self.expire().await?;
        self.resumable.expire().await?;
        webhook_secret::delete_retired(self.queue.database().pool()).await?;
        for _ in 0..BATCH {
            if !self.queue.evict_prepared(self.prepared_cache_bytes).await? {
                break;
            }
        }
        self.free_blobs().await
    }

    /// Frees blobs that are due.
    pub async fn free_blobs(&self) -> Result<(), UpkeepError> {
        for _ in 0..BATCH {
            let mut transaction = self.queue.database().begin().await?;
            if !loose_blob::may_be_freed(&mut *transaction).await? {
                tracing::info!("a backup is being made: blobs are freed after it");
                break;
            }
            let Some(blob) = loose_blob::claim_due(&mut *transaction).await? else { break };
            self.blobs.delete(std::slice::from_ref(&blob)).await?;
            loose_blob::remove(&mut *transaction, &blob).await?;
            transaction.commit().await.map_err(DatabaseError::from)?;
        }
        Ok(())
    }

    async fn expire(&self) -> Result<(), DatabaseError> {
        let pool = self.queue.database().pool();
        if let Some(age) = self.keep.jobs {
            for id in job::ended_before(pool, age, BATCH).await? {
                let end = self.queue.delete(id, Reason::Expired).await?;
                tracing::info!(job = %id, ?end, "job expired");
            }
        }
        if let Some(age) = self.keep.uploads {
            for id in model::unused(pool, age, BATCH).await? {
                let end = self.uploads.delete_model(id, age).await?;
                tracing::info!(model = %id, ?end, "model expired");
            }
            for id in dataset::unused(pool, age, BATCH).await? {
                let end = self.uploads.delete_dataset(id, age).await?;
                tracing::info!(dataset = %id, ?end, "data set expired");
            }
        }
        expired_job::delete_old(pool).await?;
        model::delete_tombstones(pool, BATCH).await?;
        dataset::delete_tombstones(pool, BATCH).await
    }
}

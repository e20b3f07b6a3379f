//! Sweep: compares the store with the tables, both ways.
//!
//! Blobs are written down before they are stored and rows after it, so neither should be without the other. A restored backup, a hand in
//! the bucket or a lost disk can make it so. A blob without a row is freed; one that has come lately is left alone, since its row may be on
//! the way, as the outputs of a running attempt are. A row without a blob cannot be mended: it is named, in the log and by `secateur sweep`.

use std::time::Duration;

use futures::TryStreamExt;
use time::OffsetDateTime;

use super::UpkeepError;
use crate::blob::BlobStore;
use crate::database::{Database, DatabaseError};
use crate::table::inventory::{self, FoundBlob, LostBlob};

/// What is younger may be on its way: no upload and no task takes longer between its blob and its row.
pub const SETTLED: Duration = Duration::from_hours(24);

/// Blobs that are written to the database at once.
const PIECE: usize = 1000;

/// Rows without a blob that are named at most.
const MOST_LOST: i64 = 1000;

/// What a sweep has found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// Blobs in the store.
    pub blobs: u64,
    /// Of these, how many no row refers to, and that will be freed.
    pub loose: u64,
    /// Rows whose blob is not there.
    pub lost: Vec<LostBlob>,
}

/// Compares the whole store with the tables. What was stored in the last `settled` is not freed.
pub async fn sweep(database: &Database, blobs: &BlobStore, settled: Duration) -> Result<Swept, UpkeepError> {
    let old = OffsetDateTime::now_utc() - settled;
    let mut transaction = database.begin().await?;
    inventory::create(&mut *transaction).await?;
    let mut swept = Swept::default();
    let mut pieces = blobs.list().try_chunks(PIECE);
    while let Some(piece) = pieces.try_next().await.map_err(|broken| broken.1)? {
        let found: Vec<FoundBlob> = piece
            .into_iter()
            .map(|stored| FoundBlob { blob: stored.key, is_settled: stored.changed_at <= old })
            .collect();
        swept.blobs += found.len() as u64;
        inventory::add(&mut *transaction, &found).await?;
    }
    swept.loose = inventory::loosen(&mut *transaction).await?;
    let missing = inventory::missing(&mut *transaction, MOST_LOST).await?;
    transaction.commit().await.map_err(DatabaseError::from)?;
    for lost in missing {
        // One that came after the store was read is there by now.
        if !blobs.has(&lost.blob).await? {
            tracing::error!(kind = lost.kind, blob = %lost.blob, "a blob is lost");
            swept.lost.push(lost);
        }
    }
    Ok(swept)
}

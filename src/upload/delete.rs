//! Deleting what was uploaded. Its row becomes a tombstone, since jobs that have ended refer to it and keep their reports; what was
//! measured and prepared of it, its inspections and its blobs go. A job that has not ended keeps what it needs.

use std::time::Duration;

use super::Uploads;
use crate::database::DatabaseError;
use crate::id::{DatasetId, JobId, ModelId};
use crate::table::{dataset, job, loose_blob, measurement, model, prepared};

/// Jobs that are named when something cannot be deleted.
const MOST_NAMED: i64 = 20;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UploadDeletion {
    /// Nobody sees it any more; its blob may be freed.
    Deleted,
    /// Some of the jobs that need it.
    NeededBy(Vec<JobId>),
    /// It was deleted before, or somebody has uploaded it again.
    NoSuchUpload,
}

impl Uploads {
    /// Deletes a model that nobody has uploaded for so long.
    pub async fn delete_model(&self, id: ModelId, unused_for: Duration) -> Result<UploadDeletion, DatabaseError> {
        let mut transaction = self.database.begin().await?;
        // A worker that finishes an inspection holds the job before it writes to the model, so this does too.
        job::lock_inspections(&mut *transaction, id).await?;
        let Some(blob) = model::lock(&mut *transaction, id, unused_for).await? else {
            return Ok(UploadDeletion::NoSuchUpload);
        };
        let jobs = job::in_need_of_model(&mut *transaction, id, MOST_NAMED).await?;
        if !jobs.is_empty() {
            return Ok(UploadDeletion::NeededBy(jobs));
        }
        job::delete_inspections(&mut *transaction, id).await?;
        measurement::delete_of_model(&mut *transaction, id).await?;
        model::bury(&mut *transaction, id).await?;
        loose_blob::insert(&mut *transaction, &blob, Duration::ZERO).await?;
        transaction.commit().await?;
        Ok(UploadDeletion::Deleted)
    }

    /// Deletes a data set that nobody has uploaded for so long.
    pub async fn delete_dataset(&self, id: DatasetId, unused_for: Duration) -> Result<UploadDeletion, DatabaseError> {
        let mut transaction = self.database.begin().await?;
        let Some(blob) = dataset::lock(&mut *transaction, id, unused_for).await? else {
            return Ok(UploadDeletion::NoSuchUpload);
        };
        let jobs = job::in_need_of_dataset(&mut *transaction, id, MOST_NAMED).await?;
        if !jobs.is_empty() {
            return Ok(UploadDeletion::NeededBy(jobs));
        }
        measurement::delete_of_dataset(&mut *transaction, id).await?;
        for blob in prepared::delete_of_dataset(&mut *transaction, id).await? {
            loose_blob::insert(&mut *transaction, &blob, Duration::ZERO).await?;
        }
        dataset::bury(&mut *transaction, id).await?;
        loose_blob::insert(&mut *transaction, &blob, Duration::ZERO).await?;
        transaction.commit().await?;
        Ok(UploadDeletion::Deleted)
    }
}

//! Delete: a job that has ended, with everything that it made.

use std::time::Duration;

use super::{Queue, notify_job};
use crate::blob::BlobKey;
use crate::database::DatabaseError;
use crate::id::JobId;
use crate::job::JobStatus;
use crate::table::{expired_job, job, loose_blob};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deletion {
    /// The rows are gone, and its blobs may be freed.
    Deleted,
    /// It has not ended yet.
    NotEnded(JobStatus),
    NoSuchJob,
}

/// Why a job is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    Asked,
    /// It ended long ago.
    Expired,
}

impl Queue {
    pub async fn delete(&self, id: JobId, reason: Reason) -> Result<Deletion, DatabaseError> {
        let mut transaction = self.database.begin().await?;
        if !job::lock(&mut *transaction, id).await? {
            return Ok(Deletion::NoSuchJob);
        }
        let status = job::status(&mut *transaction, id).await?.expect("a locked row is there");
        if !status.is_final() {
            return Ok(Deletion::NotEnded(status));
        }
        if reason == Reason::Expired {
            expired_job::insert(&mut *transaction, id).await?;
        }
        loose_blob::insert(&mut *transaction, &BlobKey::everything_of(id), Duration::ZERO).await?;
        job::delete(&mut *transaction, id).await?;
        notify_job(&mut transaction, id).await?;
        transaction.commit().await?;
        Ok(Deletion::Deleted)
    }
}

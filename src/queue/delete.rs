//! Delete: a job that has ended, with everything that it made.

use std::time::Duration;

use super::{Queue, notify_job};
use crate::blob::BlobKey;
use crate::database::DatabaseError;
use crate::id::JobId;
use crate::job::JobStatus;
use crate::table::{job, loose_blob};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deletion {
    /// The rows are gone, and its blobs may be freed.
    Deleted,
    /// It has not ended yet.
    NotEnded(JobStatus),
    NoSuchJob,
}

impl Queue {
    pub async fn delete(&self, id: JobId) -> Result<Deletion, DatabaseError> {
        let mut transaction = self.database.begin().await?;
        if !job::lock(&mut *transaction, id).await? {
            return Ok(Deletion::NoSuchJob);
        }
        let status = job::status(&mut *transaction, id).await?.expect("a locked row is there");
        if !status.is_final() {
            return Ok(Deletion::NotEnded(status));
        }
        loose_blob::insert(&mut *transaction, &BlobKey::everything_of(id), Duration::ZERO).await?;
        job::delete(&mut *transaction, id).await?;
        notify_job(&mut transaction, id).await?;
        transaction.commit().await?;
        Ok(Deletion::Deleted)
    }
}

//! Checkpoint: an attempt has stored something from which the next one can go on.

use super::{Queue, Written, lock_for};
use crate::blob::BlobKey;
use crate::database::DatabaseError;
use crate::table::task::lease::{Lease, set_checkpoint};

impl Queue {
    /// Records a checkpoint in the place of the one before; the caller frees that one's blob, or this one's when it is refused.
    pub async fn checkpoint(&self, lease: &Lease, blob: &BlobKey) -> Result<Written, DatabaseError> {
        let mut transaction = self.database.begin().await?;
        let written = match lock_for(&mut transaction, lease).await? {
            Err(refused) => refused,
            Ok(_) => {
                set_checkpoint(&mut *transaction, lease, blob).await?;
                Written::Accepted
            }
        };
        transaction.commit().await?;
        Ok(written)
    }
}

//! Redeliver: somebody wants a job's webhook to be told again.

use super::{Queue, notify_webhooks};
use crate::database::DatabaseError;
use crate::id::{DeliveryId, JobId};
use crate::table::webhook_delivery;

impl Queue {
    /// Makes a delivery of a job due now; `false` when the job has no such delivery.
    pub async fn redeliver(&self, job: JobId, delivery: DeliveryId) -> Result<bool, DatabaseError> {
        let mut transaction = self.database.begin().await?;
        let is_there = webhook_delivery::redeliver(&mut *transaction, job, delivery).await?;
        notify_webhooks(&mut transaction).await?;
        transaction.commit().await?;
        Ok(is_there)
    }
}

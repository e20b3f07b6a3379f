//! `webhook_attempt`: what became of each attempt to deliver something to a webhook.

use sqlx::PgExecutor;
use time::OffsetDateTime;

use crate::database::DatabaseError;
use crate::id::DeliveryId;

/// Attempts of a delivery that are kept; deliveries that are asked for again and again have more.
const MOST: i32 = 50;

/// A row.
#[derive(Debug, Clone)]
pub struct Attempt {
    pub number: i32,
    pub started_at: OffsetDateTime,
    /// `None` while it is under way, and for ever when its server was lost.
    pub ended_at: Option<OffsetDateTime>,
    /// Of the answer, when there was one.
    pub status_code: Option<i32>,
    /// Why it brought nothing.
    pub error: Option<String>,
}

/// Inserts an attempt that begins now.
pub async fn insert(executor: impl PgExecutor<'_>, delivery: DeliveryId, number: i32) -> Result<(), DatabaseError> {
    sqlx::query!("insert into webhook_attempt (delivery_id, number) values ($1, $2)", delivery.uuid(), number)
        .execute(executor)
        .await?;
    Ok(())
}

/// Deletes the attempts of a delivery that are too old to be kept beside its latest.
pub async fn delete_old(executor: impl PgExecutor<'_>, delivery: DeliveryId, latest: i32) -> Result<(), DatabaseError> {
    sqlx::query!("delete from webhook_attempt where delivery_id = $1 and number <= $2", delivery.uuid(), latest - MOST)
        .execute(executor)
        .await?;
    Ok(())
}

/// Writes down how an attempt ended.
pub async fn end(
    executor: impl PgExecutor<'_>,
    delivery: DeliveryId,
    number: i32,
    status_code: Option<u16>,
    error: Option<&str>,
) -> Result<(), DatabaseError> {
    sqlx::query!(
        "update webhook_attempt set ended_at = clock_timestamp(), status_code = $3, error = $4
         where delivery_id = $1 and number = $2",
        delivery.uuid(),
        number,
        status_code.map(i32::from),
        error
    )
    .execute(executor)
    .await?;
    Ok(())
}

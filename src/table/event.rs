//! `event`: append-only, numbered per job. The numbers come from the job's row, so a reader never sees 6 before 5.

use serde_json::Value;
use sqlx::PgExecutor;
use time::OffsetDateTime;

use super::to_json;
use crate::database::DatabaseError;
use crate::id::JobId;
use crate::job::Event;

/// A row.
#[derive(Debug, Clone)]
pub struct EventRow {
    pub seq: i64,
    pub event: Event,
    pub at: OffsetDateTime,
}

pub async fn insert(executor: impl PgExecutor<'_>, job: JobId, seq: i64, event: &Event) -> Result<(), DatabaseError> {
    let json = to_json(event);
    let kind = json["type"].as_str().expect("an event is tagged with its type");
    sqlx::query!(
        "insert into event (job_id, seq, type, data) values ($1, $2, $3, $4)",
        job.uuid(),
        seq,
        kind,
        json["data"]
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// The events of a job behind `after`, oldest first.
pub async fn list(
    executor: impl PgExecutor<'_>,
    job: JobId,
    after: i64,
    limit: i64,
) -> Result<Vec<EventRow>, DatabaseError> {
    let rows = sqlx::query_as!(
        Row,
        "select seq, type as kind, data, at from event where job_id = $1 and seq > $2 order by seq limit $3",
        job.uuid(),
        after,
        limit
    )
    .fetch_all(executor)
    .await?;
    rows.into_iter().map(EventRow::try_from).collect()
}

/// The last events of a job, oldest first.
pub async fn latest(executor: impl PgExecutor<'_>, job: JobId, limit: i64) -> Result<Vec<EventRow>, DatabaseError> {
    let rows = sqlx::query_as!(
        Row,
        "select seq, type as kind, data, at from event where job_id = $1 order by seq desc limit $2",
        job.uuid(),
        limit
    )
    .fetch_all(executor)
    .await?;
    rows.into_iter().rev().map(EventRow::try_from).collect()
}

struct Row {
    seq: i64,
    kind: String,
    data: Value,
    at: OffsetDateTime,
}

impl TryFrom<Row> for EventRow {
    type Error = DatabaseError;

    fn try_from(row: Row) -> Result<Self, DatabaseError> {
        let json = Value::from_iter([("type", Value::String(row.kind)), ("data", row.data)]);
        let event = serde_json::from_value(json).map_err(|error| DatabaseError::unreadable("event", error))?;
        Ok(Self { seq: row.seq, event, at: row.at })
    }
}

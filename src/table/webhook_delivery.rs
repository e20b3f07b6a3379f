//! `webhook_delivery`: what the webhooks of jobs are told, and how far that is.
//!
//! A row is inserted under its job's lock, in the transaction of its event. A deliverer claims it for as long as an attempt may take; every
//! later write carries the claim's `attempt`, so one that comes too late changes nothing. Who writes to an attempt's row in the same
//! transaction writes here first, as a deletion does.

use std::time::Duration;

use secateur_core::spec::WebhookEvent;
use sqlx::PgExecutor;
use time::OffsetDateTime;
use uuid::Uuid;

use super::webhook_attempt::Attempt;
use crate::access::Tenant;
use crate::database::DatabaseError;
use crate::id::{DeliveryId, JobId};

/// Where a delivery is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    /// An attempt is under way or will be made.
    Pending,
    Delivered,
    /// No attempt will be made unless somebody asks for it.
    Failed,
}

impl DeliveryState {
    const ALL: [Self; 3] = [Self::Pending, Self::Delivered, Self::Failed];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// A delivery to be inserted; it is due at once.
#[derive(Debug, Clone)]
pub struct NewDelivery<'a> {
    pub id: DeliveryId,
    pub job: JobId,
    /// Of the event that it tells.
    pub event_seq: i64,
    pub event: WebhookEvent,
    pub url: &'a str,
    pub body: &'a str,
}

/// A row.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub id: DeliveryId,
    pub event: WebhookEvent,
    pub url: String,
    pub state: DeliveryState,
    pub created_at: OffsetDateTime,
    /// While an attempt is under way, when it is given up for lost.
    pub next_attempt_at: Option<OffsetDateTime>,
    pub delivered_at: Option<OffsetDateTime>,
    /// Oldest first.
    pub attempts: Vec<Attempt>,
}

/// A delivery that one deliverer may attempt now.
#[derive(Debug, Clone)]
pub struct ClaimedDelivery {
    pub id: DeliveryId,
    pub job: JobId,
    pub tenant: Tenant,
    pub url: String,
    pub body: String,
    /// The number of this attempt, and the fencing token of what is written about it.
    pub attempt: i32,
    /// Attempts before it that brought nothing.
    pub failures: i32,
}

struct RawDelivery {
    id: Uuid,
    event: String,
    url: String,
    state: String,
    created_at: OffsetDateTime,
    next_attempt_at: Option<OffsetDateTime>,
    delivered_at: Option<OffsetDateTime>,
    number: Option<i32>,
    started_at: Option<OffsetDateTime>,
    ended_at: Option<OffsetDateTime>,
    status_code: Option<i32>,
    error: Option<String>,
}

impl RawDelivery {
    /// The attempt that the row brings, when the delivery has any.
    fn attempt(&self) -> Option<Attempt> {
        let (ended_at, status_code, error) = (self.ended_at, self.status_code, self.error.clone());
        Some(Attempt { number: self.number?, started_at: self.started_at?, ended_at, status_code, error })
    }
}

impl TryFrom<RawDelivery> for Delivery {
    type Error = DatabaseError;

    fn try_from(raw: RawDelivery) -> Result<Self, DatabaseError> {
        let unreadable = |detail: String| DatabaseError::unreadable("webhook_delivery", detail);
        Ok(Self {
            id: raw.id.into(),
            event: raw.event.parse().map_err(|_| unreadable(format!("event {}", raw.event)))?,
            url: raw.url,
            state: DeliveryState::parse(&raw.state).ok_or_else(|| unreadable(format!("state {}", raw.state)))?,
            created_at: raw.created_at,
            next_attempt_at: raw.next_attempt_at,
            delivered_at: raw.delivered_at,
            attempts: Vec::new(),
        })
    }
}

pub async fn insert(executor: impl PgExecutor<'_>, new: &NewDelivery<'_>) -> Result<(), DatabaseError> {
    sqlx::query!(
        "insert into webhook_delivery (id, job_id, event_seq, event, url, body, next_attempt_at)
         values ($1, $2, $3, $4, $5, $6, clock_timestamp())",
        new.id.uuid(),
        new.job.uuid(),
        new.event_seq,
        new.event.as_str(),
        new.url,
        new.body
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Takes the delivery that has been due for longest and is of none of the `busy` tenants, for as long as `lease`; one that another
/// transaction holds is passed over.
pub async fn claim(
    executor: impl PgExecutor<'_>,
    busy: &[String],
    lease: Duration,
) -> Result<Option<ClaimedDelivery>, DatabaseError> {
    let row = sqlx::query!(
        "with due as (
             select webhook_delivery.id, tenant from webhook_delivery join job on job.id = job_id
             where state = 'pending' and next_attempt_at <= clock_timestamp() and tenant <> all ($1)
             order by next_attempt_at limit 1
             for update of webhook_delivery skip locked
         )
         update webhook_delivery as delivery
         set attempt = attempt + 1, next_attempt_at = clock_timestamp() + make_interval(secs => $2)
         from due where delivery.id = due.id
         returning delivery.id, job_id, tenant, url, body, attempt, failures",
        busy,
        lease.as_secs_f64()
    )
    .fetch_optional(executor)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let tenant = row.tenant.parse().map_err(|error| DatabaseError::unreadable("job", error))?;
    Ok(Some(ClaimedDelivery {
        id: row.id.into(),
        job: row.job_id.into(),
        tenant,
        url: row.url,
        body: row.body,
        attempt: row.attempt,
        failures: row.failures,
    }))
}

/// Ends a delivery that has arrived; `false` when the claim is no longer in force.
pub async fn set_delivered(executor: impl PgExecutor<'_>, id: DeliveryId, attempt: i32) -> Result<bool, DatabaseError> {
    let written = sqlx::query!(
        "update webhook_delivery set state = 'delivered', delivered_at = clock_timestamp(), next_attempt_at = null
         where id = $1 and attempt = $2 and state = 'pending'",
        id.uuid(),
        attempt
    )
    .execute(executor)
    .await?;
    Ok(written.rows_affected() == 1)
}

/// Has another attempt made after so much time; `false` when the claim is no longer in force.
pub async fn postpone(
    executor: impl PgExecutor<'_>,
    id: DeliveryId,
    attempt: i32,
    pause: Duration,
) -> Result<bool, DatabaseError> {
    let written = sqlx::query!(
        "update webhook_delivery
         set failures = failures + 1, next_attempt_at = clock_timestamp() + make_interval(secs => $3)
         where id = $1 and attempt = $2 and state = 'pending'",
        id.uuid(),
        attempt,
        pause.as_secs_f64()
    )
    .execute(executor)
    .await?;
    Ok(written.rows_affected() == 1)
}

/// Gives a delivery up; `false` when the claim is no longer in force.
pub async fn set_failed(executor: impl PgExecutor<'_>, id: DeliveryId, attempt: i32) -> Result<bool, DatabaseError> {
    let written = sqlx::query!(
        "update webhook_delivery set state = 'failed', failures = failures + 1, next_attempt_at = null
         where id = $1 and attempt = $2 and state = 'pending'",
        id.uuid(),
        attempt
    )
    .execute(executor)
    .await?;
    Ok(written.rows_affected() == 1)
}

/// Makes a delivery of a job due now, with all its attempts before it again; `false` when the job has no such delivery.
pub async fn redeliver(executor: impl PgExecutor<'_>, job: JobId, id: DeliveryId) -> Result<bool, DatabaseError> {
    let written = sqlx::query!(
        "update webhook_delivery
         set state = 'pending', failures = 0, next_attempt_at = clock_timestamp(), delivered_at = null
         where id = $1 and job_id = $2",
        id.uuid(),
        job.uuid()
    )
    .execute(executor)
    .await?;
    Ok(written.rows_affected() == 1)
}

/// The deliveries of a job, in the order of their events, with their attempts: in one statement, so that the two tell of one moment.
pub async fn list(executor: impl PgExecutor<'_>, job: JobId) -> Result<Vec<Delivery>, DatabaseError> {
    let rows = sqlx::query_as!(
        RawDelivery,
        "select id, event, url, state, created_at, next_attempt_at, delivered_at,
                number as \"number?\", started_at as \"started_at?\", ended_at, status_code, error
         from webhook_delivery left join webhook_attempt on delivery_id = id
         where job_id = $1 order by event_seq, number",
        job.uuid()
    )
    .fetch_all(executor)
    .await?;
    let mut deliveries: Vec<Delivery> = Vec::new();
    for row in rows {
        let attempt = row.attempt();
        if deliveries.last().is_none_or(|last| last.id.uuid() != row.id) {
            deliveries.push(row.try_into()?);
        }
        if let (Some(last), Some(attempt)) = (deliveries.last_mut(), attempt) {
            last.attempts.push(attempt);
        }
    }
    Ok(deliveries)
}

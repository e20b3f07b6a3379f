//! `/v1/jobs/{id}/deliveries`: what a job's webhook was told, and how that went.

pub(super) mod list;
pub(super) mod redeliver;

use secateur_core::spec::WebhookEvent;
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::http::App;
use crate::http::answer::problem::Problem;
use crate::id::{DeliveryId, JobId};
use crate::table::webhook_attempt::Attempt;
use crate::table::webhook_delivery::{self, Delivery, DeliveryState};

/// Where a delivery is in its life.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum DeliveryStatus {
    /// An attempt is under way or will be made.
    Pending,
    Delivered,
    /// No attempt will be made unless somebody asks for it.
    Failed,
}

/// Something that a job's webhook is told.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Delivery)]
pub(super) struct DeliveryOut {
    /// The `webhook-id` of every attempt.
    #[schema(value_type = String, example = "dlv_0198c2f4a7b17c3e8d21f00dcafe1234")]
    pub id: DeliveryId,
    event: WebhookEvent,
    url: String,
    status: DeliveryStatus,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    /// When `status` is `pending`. While an attempt is under way, when it is given up for lost.
    #[serde(with = "time::serde::rfc3339::option")]
    next_attempt_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    delivered_at: Option<OffsetDateTime>,
    /// Oldest first, the last 50.
    attempts: Vec<AttemptOut>,
}

/// An attempt to deliver.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeliveryAttempt)]
pub(super) struct AttemptOut {
    number: i32,
    #[serde(with = "time::serde::rfc3339")]
    started_at: OffsetDateTime,
    /// `null` while it is under way, and for ever when its server was lost.
    #[serde(with = "time::serde::rfc3339::option")]
    ended_at: Option<OffsetDateTime>,
    /// Of the receiver's answer, when there was one.
    status_code: Option<i32>,
    /// Why it brought nothing.
    error: Option<String>,
}

/// The deliveries of a job, in the order of their events.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeliveryList {
    pub items: Vec<DeliveryOut>,
}

impl DeliveryList {
    pub(super) async fn find(app: &App, id: JobId) -> Result<Self, Problem> {
        let deliveries = webhook_delivery::list(app.database.pool(), id).await?;
        Ok(Self { items: deliveries.into_iter().map(DeliveryOut::from).collect() })
    }
}

impl From<Delivery> for DeliveryOut {
    fn from(delivery: Delivery) -> Self {
        let Delivery { id, event, url, state, created_at, next_attempt_at, delivered_at, attempts } = delivery;
        let status = match state {
            DeliveryState::Pending => DeliveryStatus::Pending,
            DeliveryState::Delivered => DeliveryStatus::Delivered,
            DeliveryState::Failed => DeliveryStatus::Failed,
        };
        let attempts = attempts.into_iter().map(AttemptOut::from).collect();
        Self { id, event, url, status, created_at, next_attempt_at, delivered_at, attempts }
    }
}

impl From<Attempt> for AttemptOut {
    fn from(attempt: Attempt) -> Self {
        let Attempt { number, started_at, ended_at, status_code, error } = attempt;
        Self { number, started_at, ended_at, status_code, error }
    }
}

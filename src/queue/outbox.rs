//! Outbox: what a job's webhook is to be told, in the transaction of the event that it tells.
//!
//! So nothing is told that did not happen, and nothing that happened is lost: a crash before the commit leaves neither event nor delivery,
//! and after it the row waits for whichever deliverer comes first. The document is written down as it will be sent.

use secateur_core::spec::WebhookEvent;

use super::notify_webhooks;
use crate::database::{DatabaseError, Transaction};
use crate::id::{DeliveryId, JobId};
use crate::job::Event;
use crate::table::job;
use crate::table::webhook_delivery::{self, NewDelivery};
use crate::webhook::Notice;

/// Puts a delivery into the outbox when the job's spec asks for this event. The job's row has been written before.
pub(super) async fn post(
    transaction: &mut Transaction,
    id: JobId,
    seq: i64,
    event: &Event,
) -> Result<(), DatabaseError> {
    let Some(kind) = told(event) else { return Ok(()) };
    let job = job::find(&mut **transaction, id).await?.expect("a locked row is there");
    let webhook = job.order.spec().and_then(|spec| spec.webhook.as_ref());
    let Some(webhook) = webhook.filter(|webhook| webhook.events.contains(&kind)) else { return Ok(()) };
    let body = Notice::of(&job, kind, event).to_json();
    let new = NewDelivery {
        id: DeliveryId::generate(),
        job: id,
        event_seq: seq,
        event: kind,
        url: &webhook.url,
        body: &body,
    };
    webhook_delivery::insert(&mut **transaction, &new).await?;
    notify_webhooks(transaction).await
}

/// What a spec calls an event that webhooks may be told of.
fn told(event: &Event) -> Option<WebhookEvent> {
    match event {
        Event::Succeeded {} => Some(WebhookEvent::Succeeded),
        Event::Failed { .. } => Some(WebhookEvent::Failed),
        Event::Cancelled {} => Some(WebhookEvent::Cancelled),
        Event::JudgementAsked { .. } => Some(WebhookEvent::Judging),
        _ => None,
    }
}

//! The deliverer: takes what is due out of the outbox, sends it, and writes down what came of it.
//!
//! Every server runs one. It claims a delivery for longer than an attempt can take, so that no other sends it meanwhile; when the server
//! dies in between, the claim runs out and the delivery is attempted again, by whichever server comes first. A few tenants with
//! receivers that hang do not hold up the others: each has a share of the places.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::retries::{pause, random};
use super::rotation::secrets_of;
use super::sender::{Answer, Message, SendError};
use super::{Sender, TIMEOUT};
use crate::access::Tenant;
use crate::database::{Database, DatabaseError, Notifications, Wakeup, retry_while_away};
use crate::table::webhook_attempt;
use crate::table::webhook_delivery::{self, ClaimedDelivery};

/// How long a claim lasts: an attempt with all that belongs to it, while the database is away for a moment too.
const LEASE: Duration = Duration::from_mins(1);

/// Attempts of one tenant under way at once.
const MOST_OF_A_TENANT: usize = 4;

/// How long what came of an attempt is tried to be written down.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long attempts under way may take when the server stops; they are made again otherwise.
const TIME_TO_FINISH: Duration = Duration::from_secs(5);

const _: () = assert!(TIMEOUT.as_secs() + PATIENCE.as_secs() < LEASE.as_secs());

/// What sends; clones share it.
#[derive(Debug, Clone)]
pub struct Deliverer {
    pub database: Database,
    pub notifications: Notifications,
    pub sender: Arc<Sender>,
    /// Attempts under way at once.
    pub at_once: usize,
    /// Time between two looks for what is due when no hint comes.
    pub poll: Duration,
}

/// What becomes of a delivery after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Delivered,
    TryAgain { pause: Duration },
    GiveUp,
}

impl Deliverer {
    /// Delivers until `shutdown`.
    pub async fn run_until(self, shutdown: CancellationToken) {
        let mut hints = self.notifications.subscribe();
        let mut under_way = JoinSet::new();
        let mut tenants: HashMap<Id, Tenant> = HashMap::new();
        loop {
            if let Err(error) = self.start_due(&mut under_way, &mut tenants).await {
                tracing::warn!(%error, "webhooks could not be looked after, trying again");
            }
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = hints.wait(self.poll, |hint| hint == Wakeup::Webhook) => {}
                Some(ended) = under_way.join_next_with_id() => forget(ended, &mut tenants),
            }
        }
        let all = async { while under_way.join_next().await.is_some() {} };
        if tokio::time::timeout(TIME_TO_FINISH, all).await.is_err() {
            tracing::info!("attempts to deliver were cut off and will be made again");
        }
    }

    /// Starts attempts of what is due, as long as there are places.
    async fn start_due(
        &self,
        under_way: &mut JoinSet<()>,
        tenants: &mut HashMap<Id, Tenant>,
    ) -> Result<(), DatabaseError> {
        while under_way.len() < self.at_once {
            let Some(claimed) = claim(&self.database, &busy(tenants)).await? else { break };
            let tenant = claimed.tenant.clone();
            let deliverer = self.clone();
            let attempt = under_way.spawn(async move {
                if let Err(error) = deliverer.attempt(&claimed).await {
                    tracing::warn!(delivery = %claimed.id, %error, "an attempt to deliver will be made again");
                }
            });
            tenants.insert(attempt.id(), tenant);
        }
        Ok(())
    }

    /// One attempt, from the secrets to what is written down of it.
    async fn attempt(&self, claimed: &ClaimedDelivery) -> Result<(), DatabaseError> {
        let secrets = secrets_of(&self.database, &claimed.tenant).await?;
        let message = Message { id: claimed.id, url: &claimed.url, body: &claimed.body, secrets: &secrets };
        let answer = self.sender.send(message).await;
        let verdict = judge(&answer, claimed.failures, random());
        tracing::info!(delivery = %claimed.id, job = %claimed.job, attempt = claimed.attempt, ?answer, ?verdict, "webhook");
        retry_while_away("record a delivery", PATIENCE, || record(&self.database, claimed, &answer, verdict)).await
    }
}

/// Takes a delivery out of those that are due, with a line in the log of its attempts.
async fn claim(database: &Database, busy: &[String]) -> Result<Option<ClaimedDelivery>, DatabaseError> {
    let mut transaction = database.begin().await?;
    let Some(claimed) = webhook_delivery::claim(&mut *transaction, busy, LEASE).await? else { return Ok(None) };
    webhook_attempt::insert(&mut *transaction, claimed.id, claimed.attempt).await?;
    webhook_attempt::delete_old(&mut *transaction, claimed.id, claimed.attempt).await?;
    transaction.commit().await?;
    Ok(Some(claimed))
}

/// Writes down what came of an attempt. When the claim is no longer in force, the attempt alone.
async fn record(
    database: &Database,
    claimed: &ClaimedDelivery,
    answer: &Result<Answer, SendError>,
    verdict: Verdict,
) -> Result<(), DatabaseError> {
    let ClaimedDelivery { id, attempt, .. } = *claimed;
    let mut transaction = database.begin().await?;
    match verdict {
        Verdict::Delivered => webhook_delivery::set_delivered(&mut *transaction, id, attempt).await?,
        Verdict::TryAgain { pause } => webhook_delivery::postpone(&mut *transaction, id, attempt, pause).await?,
        Verdict::GiveUp => webhook_delivery::set_failed(&mut *transaction, id, attempt).await?,
    };
    let (status, error) = match answer {
        Ok(answer) => (Some(answer.status), complaint(answer.status)),
        Err(error) => (None, Some(error.to_string())),
    };
    webhook_attempt::end(&mut *transaction, id, attempt, status, error.as_deref()).await?;
    transaction.commit().await?;
    Ok(())
}

/// What becomes of a delivery. 410 is a receiver's way to say that it is gone for good.
fn judge(answer: &Result<Answer, SendError>, failures: i32, random: f64) -> Verdict {
    let asked_for = match answer {
        Ok(Answer { status: 200..=299, .. }) => return Verdict::Delivered,
        Ok(Answer { status: 410, .. }) => return Verdict::GiveUp,
        Ok(Answer { status: 429 | 503, retry_after }) => *retry_after,
        Ok(_) | Err(_) => None,
    };
    match pause(failures + 1, asked_for, random) {
        Some(pause) => Verdict::TryAgain { pause },
        None => Verdict::GiveUp,
    }
}

/// Why an answer is not the one that was wanted; `None` when it is.
fn complaint(status: u16) -> Option<String> {
    match status {
        200..=299 => None,
        300..=399 => Some(format!("the receiver answered {status}: redirects are not followed")),
        410 => Some("the receiver answered 410: it wants no more".to_owned()),
        _ => Some(format!("the receiver answered {status}: 200 to 299 is success")),
    }
}

/// The tenants that have all the places that they may have.
fn busy(tenants: &HashMap<Id, Tenant>) -> Vec<String> {
    let mut places: HashMap<&Tenant, usize> = HashMap::new();
    for tenant in tenants.values() {
        *places.entry(tenant).or_default() += 1;
    }
    places.retain(|_, taken| *taken >= MOST_OF_A_TENANT);
    places.into_keys().map(Tenant::to_string).collect()
}

fn forget(ended: Result<(Id, ()), JoinError>, tenants: &mut HashMap<Id, Tenant>) {
    let id = match ended {
        Ok((id, ())) => id,
        Err(error) => {
            tracing::error!(%error, "an attempt to deliver panicked");
            error.id()
        }
    };
    tenants.remove(&id);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16) -> Result<Answer, SendError> {
        Ok(Answer { status, retry_after: Some(Duration::from_mins(10)) })
    }

    #[test]
    fn every_2xx_is_success_and_410_is_the_end() {
        for status in [200, 202, 204, 299] {
            assert_eq!(judge(&answered(status), 9, 0.5), Verdict::Delivered, "{status}");
            assert_eq!(complaint(status), None);
        }
        assert_eq!(judge(&answered(410), 0, 0.5), Verdict::GiveUp);
    }

    #[test]
    fn everything_else_is_tried_again_until_the_tenth_time() {
        for answer in [answered(301), answered(404), answered(500), Err(SendError::NoAddress)] {
            let pause = Duration::from_secs(5);
            assert_eq!(judge(&answer, 0, 0.5), Verdict::TryAgain { pause }, "{answer:?}");
            assert_eq!(judge(&answer, 9, 0.5), Verdict::GiveUp, "{answer:?}");
        }
    }

    #[test]
    fn a_busy_receiver_is_left_alone_for_as_long_as_it_asks() {
        for status in [429, 503] {
            let pause = Duration::from_mins(10);
            assert_eq!(judge(&answered(status), 0, 0.5), Verdict::TryAgain { pause }, "{status}");
        }
    }
}

//! `LISTEN/NOTIFY` as a hint that something changed.
//!
//! One connection listens for the whole process and passes hints on. Hints may be lost (the connection breaks, a reader
//! is slow), so every reader also polls; a hint only makes it look sooner.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgListener;
use tokio::sync::{broadcast, watch};
use tokio_util::task::AbortOnDropHandle;

use super::{Database, DatabaseError};
use crate::id::JobId;

/// Channel for changes of a job; the payload is its id.
pub const JOB_CHANNEL: &str = "secateur_job";
/// Channel for tasks that can be claimed; no payload.
pub const TASK_CHANNEL: &str = "secateur_task";

const CAPACITY: usize = 1024;
const PAUSE_AFTER_ERROR: Duration = Duration::from_secs(1);

/// Channel for jobs whose running tasks are no longer wanted; the payload is the job's id.
pub const STOP_CHANNEL: &str = "secateur_stop";

/// Channel for what has to be delivered to webhooks; no payload.
pub const WEBHOOK_CHANNEL: &str = "secateur_webhook";

/// What may have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wakeup {
    Job(JobId),
    Stop(JobId),
    Task,
    Webhook,
    /// The connection was lost: anything.
    Anything,
}

/// A source of hints; clones share it.
#[derive(Debug, Clone)]
pub struct Notifications {
    sender: broadcast::Sender<Wakeup>,
    heard: watch::Receiver<bool>,
    _relay: Arc<AbortOnDropHandle<()>>,
}

/// One reader's end.
#[derive(Debug)]
pub struct Subscription {
    receiver: broadcast::Receiver<Wakeup>,
}

impl Notifications {
    /// Starts listening; ends when the last clone is dropped.
    pub fn listen(database: &Database) -> Self {
        let (sender, _) = broadcast::channel(CAPACITY);
        let (now_heard, heard) = watch::channel(false);
        let relay = tokio::spawn({
            let (database, sender) = (database.clone(), sender.clone());
            async move {
                loop {
                    if let Err(error) = relay(&database, &sender, &now_heard).await {
                        tracing::debug!(%error, "not listening for notifications, trying again");
                    }
                    now_heard.send_replace(false);
                    tokio::time::sleep(PAUSE_AFTER_ERROR).await;
                }
            }
        });
        Self { sender, heard, _relay: Arc::new(AbortOnDropHandle::new(relay)) }
    }

    /// Whether the connection stands on which they come.
    pub fn are_heard(&self) -> bool {
        *self.heard.borrow()
    }

    /// Waits until they are heard; `false` when that takes too long.
    pub async fn wait_until_heard(&self, patience: Duration) -> bool {
        let mut heard = self.heard.clone();
        let waited = tokio::time::timeout(patience, heard.wait_for(|&heard| heard)).await;
        matches!(waited, Ok(Ok(_)))
    }

    pub fn subscribe(&self) -> Subscription {
        Subscription { receiver: self.sender.subscribe() }
    }
}

impl Subscription {
    /// Waits until a hint passes the filter, or `longest` has passed.
    pub async fn wait(&mut self, longest: Duration, concerns_me: impl Fn(Wakeup) -> bool) {
        let hint = async {
            loop {
                match self.receiver.recv().await {
                    Ok(wakeup) if wakeup == Wakeup::Anything || concerns_me(wakeup) => return,
                    Ok(_) => {}
                    Err(broadcast::error::RecvError::Lagged(_)) => return,
                    Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
                }
            }
        };
        let _ = tokio::time::timeout(longest, hint).await;
    }
}

async fn relay(
    database: &Database,
    sender: &broadcast::Sender<Wakeup>,
    heard: &watch::Sender<bool>,
) -> Result<(), DatabaseError> {
    let mut listener = PgListener::connect_with(database.pool()).await?;
    listener.listen_all([JOB_CHANNEL, STOP_CHANNEL, TASK_CHANNEL, WEBHOOK_CHANNEL]).await?;
    heard.send_replace(true);
    // Whatever was sent before we listened.
    let mut wakeup = Some(Wakeup::Anything);
    loop {
        if let Some(wakeup) = wakeup {
            // Nobody listening is fine.
            let _ = sender.send(wakeup);
        }
        wakeup = match listener.try_recv().await? {
            None => return Ok(()),
            Some(notification) => match notification.channel() {
                TASK_CHANNEL => Some(Wakeup::Task),
                WEBHOOK_CHANNEL => Some(Wakeup::Webhook),
                STOP_CHANNEL => notification.payload().parse().ok().map(Wakeup::Stop),
                _ => notification.payload().parse().ok().map(Wakeup::Job),
            },
        };
    }
}

//! Webhooks: telling a URL of the user's how a job went, by the conventions of Standard Webhooks (standardwebhooks.com).
//!
//! What is to be told is put into the outbox (`webhook_delivery`) by [`crate::queue`], in the transaction of the event. Every server runs
//! a [`Deliverer`], which claims what is due, signs it with the secrets of the job's tenant and posts it. What is guaranteed:
//!
//! - nothing is lost and nothing invented, and what was told once may come again: at least once, with the same `webhook-id`;
//! - a claim belongs to one server until its lease runs out, so two servers do not send at once, and what a server that died had
//!   claimed is sent by another;
//! - every delivery is signed ([`rotation`] makes a secret where there is none);
//! - a request reaches only what [`Receivers`] allows: the guard sits where the client resolves names, so the address that was checked
//!   is the one that is connected to.

mod address;
mod deliverer;
mod notice;
mod receivers;
mod retries;
pub mod rotation;
mod secret;
mod sender;

use std::time::Duration;

pub use deliverer::Deliverer;
pub use notice::Notice;
pub use receivers::{Allow, InvalidAllow, NotAllowed, Reach, Receivers};
pub use secret::SigningSecret;
pub use sender::Sender;

/// How long a receiver may take to answer.
pub const TIMEOUT: Duration = Duration::from_secs(15);

/// How a server delivers.
#[derive(Debug, Clone)]
pub struct WebhookOptions {
    /// Whom it may send to beside public addresses by https.
    pub allow: Vec<Allow>,
    /// How long a receiver may take to answer.
    pub timeout: Duration,
    /// Attempts under way at once; 0 leaves them to other servers.
    pub at_once: usize,
}

impl Default for WebhookOptions {
    fn default() -> Self {
        Self { allow: Vec::new(), timeout: TIMEOUT, at_once: 16 }
    }
}

//! One attempt: a signed POST, and what came of it.
//!
//! There are two clients, which differ in how far their resolvers let them reach. Neither follows redirects, keeps connections, knows
//! a proxy or shows anybody what a receiver answers beside its status.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use secateur_core::plain_text;
use time::OffsetDateTime;
use url::Url;

use super::{NotAllowed, Reach, Receivers, SigningSecret};
use crate::id::DeliveryId;

/// Bytes of an answer that are read, so that its sender can finish it.
const LONGEST_ANSWER: usize = 16 << 10;

/// Characters of the cause of an error.
const LONGEST_CAUSE: usize = 200;

const USER_AGENT: &str = concat!("secateur/", env!("CARGO_PKG_VERSION"));

/// Sends to the receivers that are allowed.
#[derive(Debug)]
pub struct Sender {
    receivers: Arc<Receivers>,
    timeout: Duration,
    /// Or why there are none.
    clients: Result<Clients, String>,
}

#[derive(Debug)]
struct Clients {
    anywhere: Client,
    allowed_alone: Client,
}

/// What is sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Message<'a> {
    pub id: DeliveryId,
    pub url: &'a str,
    pub body: &'a str,
    pub secrets: &'a [SigningSecret],
}

/// What a receiver said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answer {
    pub status: u16,
    /// How long it asks to be left alone.
    pub retry_after: Option<Duration>,
}

/// Why nobody answered, for the tenant. It tells nothing of a network into which the tenant cannot look: a name that is not known and one
/// that leads inside are the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum SendError {
    #[error("this server does not send there: {0}")]
    NotAllowed(#[from] NotAllowed),
    #[error("the URL is not valid")]
    NoUrl,
    #[error("this server cannot send: {0}")]
    NoClient(String),
    #[error("{NO_ADDRESS}")]
    NoAddress,
    #[error("no answer within {} seconds", .0.as_secs())]
    TimedOut(Duration),
    #[error("no connection: {0}")]
    NoConnection(String),
    #[error("the connection broke: {0}")]
    Broken(String),
}

const NO_ADDRESS: &str = "the host's name leads to no address to which this server sends";

/// What the resolver says when nothing is left of a name's addresses.
#[derive(Debug, thiserror::Error)]
#[error("{NO_ADDRESS}")]
struct NoAddress;

impl Sender {
    /// On a machine without certificates of authorities it sends nothing, and says so in the log of every attempt.
    pub fn new(receivers: Arc<Receivers>, timeout: Duration) -> Self {
        let clients = Clients::new(&receivers, timeout).map_err(|error| {
            let cause = innermost(&error).to_string();
            tracing::warn!(cause, "webhooks cannot be sent");
            cause
        });
        Self { receivers, timeout, clients }
    }

    pub(super) async fn send(&self, message: Message<'_>) -> Result<Answer, SendError> {
        let url = Url::parse(message.url).map_err(|_| SendError::NoUrl)?;
        let reach = self.receivers.check(&url)?;
        let clients = self.clients.as_ref().map_err(|cause| SendError::NoClient(cause.clone()))?;
        let client = match reach {
            Reach::Anywhere => &clients.anywhere,
            Reach::AllowedAlone => &clients.allowed_alone,
        };
        let (id, timestamp) = (message.id.to_string(), OffsetDateTime::now_utc().unix_timestamp());
        let signatures: Vec<String> =
            message.secrets.iter().map(|secret| secret.sign(&id, timestamp, message.body)).collect();
        let request = client
            .post(url)
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signatures.join(" "))
            .body(message.body.to_owned());
        let response = request.send().await.map_err(|error| self.describe(&error))?;
        let answer = Answer { status: response.status().as_u16(), retry_after: retry_after(response.headers()) };
        drain(response).await;
        Ok(answer)
    }

    fn describe(&self, error: &reqwest::Error) -> SendError {
        if error.is_timeout() {
            return SendError::TimedOut(self.timeout);
        }
        let cause = innermost(error);
        if cause.is::<NoAddress>() {
            return SendError::NoAddress;
        }
        let text = plain_text::line_within(&cause.to_string(), LONGEST_CAUSE);
        match error.is_connect() {
            true => SendError::NoConnection(text),
            false => SendError::Broken(text),
        }
    }
}

impl Clients {
    fn new(receivers: &Arc<Receivers>, timeout: Duration) -> Result<Self, reqwest::Error> {
        let client = |reach| {
            Client::builder()
                .dns_resolver(Guard { receivers: receivers.clone(), reach })
                .redirect(Policy::none())
                .retry(reqwest::retry::never())
                .no_proxy()
                .referer(false)
                .http1_only()
                .pool_max_idle_per_host(0)
                .user_agent(USER_AGENT)
                .timeout(timeout)
                .build()
        };
        Ok(Self { anywhere: client(Reach::Anywhere)?, allowed_alone: client(Reach::AllowedAlone)? })
    }
}

/// What an error comes from in the end; what stands around it repeats the URL.
fn innermost(error: &reqwest::Error) -> &(dyn Error + 'static) {
    let mut cause: &(dyn Error + 'static) = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause
}

/// Resolves names to the addresses that may be reached; those are what the client connects to.
#[derive(Debug)]
struct Guard {
    receivers: Arc<Receivers>,
    reach: Reach,
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let (receivers, reach) = (self.receivers.clone(), self.reach);
        Box::pin(async move {
            let name = name.as_str();
            let found: Vec<_> = match tokio::net::lookup_host((name, 0)).await {
                Ok(addresses) => addresses.collect(),
                Err(error) => {
                    tracing::info!(name, %error, "name of a webhook cannot be resolved");
                    return Err(NoAddress.into());
                }
            };
            let admitted = receivers.admit(name, reach, found.iter().copied());
            if admitted.is_empty() {
                tracing::warn!(name, ?found, ?reach, "name of a webhook leads where it may not be sent");
                return Err(NoAddress.into());
            }
            Ok(Box::new(admitted.into_iter()) as Addrs)
        })
    }
}

/// Seconds, or the time of a clock that may differ from ours.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => {
            let at = httpdate::parse_http_date(text).ok()?;
            Some(at.duration_since(SystemTime::now()).unwrap_or_default())
        }
    }
}

/// Reads what may be left of an answer. What goes wrong here changes nothing: the status has been said.
async fn drain(mut response: Response) {
    let mut read = 0;
    while let Ok(Some(chunk)) = response.chunk().await {
        read += chunk.len();
        if read >= LONGEST_ANSWER {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked_for(text: &str) -> Option<Duration> {
        let headers = [(RETRY_AFTER, text.parse().unwrap())].into_iter().collect();
        retry_after(&headers)
    }

    #[test]
    fn a_receiver_asks_for_time_in_seconds_or_by_the_clock() {
        assert_eq!(asked_for("120"), Some(Duration::from_mins(2)));
        let in_an_hour = httpdate::fmt_http_date(SystemTime::now() + Duration::from_hours(1));
        let asked = asked_for(&in_an_hour).unwrap();
        assert!((3590..=3600).contains(&asked.as_secs()), "{asked:?}");
        assert_eq!(asked_for("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        for text in ["", "soon", "-1", "1.5"] {
            assert_eq!(asked_for(text), None, "{text}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}

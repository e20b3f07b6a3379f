//! Where a server tells how a job went.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use strum::{EnumMessage, EnumString, IntoStaticStr, VariantArray};
use url::Url;
use utoipa::ToSchema;

use crate::plain_text::escaped_within;
use crate::rejection::Rejection;

/// Bytes of a webhook's URL.
const LONGEST_URL: usize = 2048;
/// Characters of a URL that an error repeats.
const LONGEST_QUOTE: usize = 200;

/// What a job's webhook may be told of.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    ToSchema,
    IntoStaticStr,
    EnumString,
    EnumMessage,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum WebhookEvent {
    /// The job has its result.
    Succeeded,
    /// The job ended with an error.
    Failed,
    /// Somebody cancelled the job.
    Cancelled,
    /// The job waits for the scores of its outside judge.
    Judging,
}

impl WebhookEvent {
    /// The name in specs and deliveries.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A URL to which a server posts a signed JSON document when one of the events happens. It is for servers alone: it goes to no engine and
/// into no report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookSpec {
    /// `https://`, a host, maybe a port and a path; without user, password and fragment.
    #[schema(max_length = 2048, example = "https://ci.example/hooks/secateur")]
    pub url: String,
    /// Which events are told; absent: all that end a job.
    #[serde(default = "those_that_end_a_job")]
    #[schema(value_type = Vec<WebhookEvent>, min_items = 1)]
    pub events: BTreeSet<WebhookEvent>,
}

fn those_that_end_a_job() -> BTreeSet<WebhookEvent> {
    BTreeSet::from([WebhookEvent::Succeeded, WebhookEvent::Failed, WebhookEvent::Cancelled])
}

impl WebhookSpec {
    /// The URL in parts; `None` when it is none, which [`JobSpec::from_json`](super::JobSpec::from_json) refuses.
    pub fn parsed_url(&self) -> Option<Url> {
        Url::parse(&self.url).ok()
    }
}

/// The rules for the URL and the events. Whether the server may send there is the server's to say.
pub(super) fn check(
    webhook: &WebhookSpec,
    invalid: impl Fn(&str, String) -> Result<(), Rejection>,
) -> Result<(), Rejection> {
    let length = webhook.url.len();
    if !(1..=LONGEST_URL).contains(&length) {
        return invalid("webhook.url", format!("`webhook.url` has {length} bytes: 1 to {LONGEST_URL} are allowed."));
    }
    let refuse = |what: &str, allowed: &str| {
        let url = escaped_within(&webhook.url, LONGEST_QUOTE);
        invalid("webhook.url", format!("`webhook.url` is `{url}`, which {what}: {allowed}."))
    };
    // The parser leaves out line breaks and tabs and rewrites other characters, so that what is sent to would not be what is shown.
    if !webhook.url.bytes().all(|byte| byte.is_ascii_graphic()) {
        let allowed = "visible ASCII characters are allowed, others percent-encoded and a host's name in Punycode";
        return refuse("has a character that no URL has", allowed);
    }
    let Ok(url) = Url::parse(&webhook.url) else {
        return refuse("is no URL", "a whole one is allowed, such as `https://ci.example/hooks/secateur`");
    };
    if !matches!(url.scheme(), "https" | "http") {
        return refuse(&format!("has the scheme `{}`", url.scheme()), "`https` is allowed");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return refuse("has a user or a password", "none is allowed; verify the signature instead");
    }
    if url.fragment().is_some() {
        return refuse("has a fragment", "none is allowed, since it is not sent");
    }
    if webhook.events.is_empty() {
        let detail =
            "`webhook.events` is empty: at least one of `succeeded`, `failed`, `cancelled`, `judging` is allowed.";
        return invalid("webhook.events", detail.to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::spec::JobSpec;

    fn parse(webhook: serde_json::Value) -> Result<WebhookSpec, Rejection> {
        let spec = json!({"target": {"flops_reduction": 0.5}, "webhook": webhook});
        JobSpec::from_json(&spec.to_string()).map(|spec| spec.webhook.expect("it was given"))
    }

    #[test]
    fn a_url_alone_is_told_of_every_end() {
        let webhook = parse(json!({"url": "https://ci.example:8443/hooks?job=1"})).unwrap();
        assert_eq!(webhook.events, those_that_end_a_job());
        let as_run = serde_json::to_value(&webhook).unwrap();
        assert_eq!(as_run["events"], json!(["succeeded", "failed", "cancelled"]));
        assert_eq!(parse(as_run).unwrap(), webhook, "a spec as run gives itself again");
    }

    #[test]
    fn a_url_that_cannot_be_sent_to_is_named_with_what_is_allowed() {
        let long = format!("https://ci.example/{}", "x".repeat(LONGEST_URL));
        for (url, words) in [
            ("", "has 0 bytes: 1 to 2048"),
            (long.as_str(), "has 2067 bytes: 1 to 2048"),
            ("ci.example/hook", "`ci.example/hook`, which is no URL"),
            ("https://", "is no URL"),
            ("ftp://ci.example/", "has the scheme `ftp`: `https` is allowed"),
            ("file:///etc/passwd", "has the scheme `file`"),
            ("javascript:alert(1)", "has the scheme `javascript`"),
            ("https://me:pw@ci.example/", "has a user or a password"),
            ("https://me@ci.example/", "has a user or a password"),
            ("https://ci.example/#top", "has a fragment"),
            ("https://ci.exa\nmple/", "has a character that no URL has"),
            (" https://ci.example/", "has a character that no URL has"),
            ("https://b\u{fc}cher.example/", "has a character that no URL has"),
        ] {
            let rejection = parse(json!({"url": url})).unwrap_err();
            assert_eq!(rejection.node.as_deref(), Some("webhook.url"), "{url}");
            assert!(rejection.detail.contains(words) && rejection.detail.len() < 500, "{}", rejection.detail);
        }
    }

    #[test]
    fn an_unknown_event_is_named_with_those_that_there_are() {
        let rejection = parse(json!({"url": "https://ci.example", "events": ["finished"]})).unwrap_err();
        let detail = rejection.detail;
        for word in ["webhook.events[0]", "finished", "succeeded", "failed", "cancelled", "judging"] {
            assert!(detail.contains(&format!("`{word}`")), "{detail}");
        }
        let none = parse(json!({"url": "https://ci.example", "events": []})).unwrap_err();
        assert_eq!(none.node.as_deref(), Some("webhook.events"));
    }
}

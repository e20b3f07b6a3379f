//! The events of a job as they come, over connections that may break.

use std::time::Duration;

use futures::StreamExt;
use reqwest::Method;
use reqwest::header::ACCEPT;
use serde::Deserialize;
use serde_json::Value;

use super::client::{Client, is_later, retry_after};
use crate::cli::CliError;

/// A stream that ends before its job does is taken up again after this.
const BEFORE_RESUMING: Duration = Duration::from_millis(500);

/// One event, as the API describes it.
#[derive(Debug, Deserialize)]
pub(super) struct EventIn {
    pub(super) id: i64,
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) data: Value,
    /// The whole of it, for programs.
    #[serde(skip)]
    pub(super) json: String,
}

impl EventIn {
    pub(super) fn is_final(&self) -> bool {
        matches!(self.kind.as_str(), "succeeded" | "failed" | "cancelled")
    }
}

/// Shows every event of a job, in order and once, until the last one.
pub(super) async fn follow(client: &Client, job: &str, mut show: impl FnMut(&EventIn)) -> Result<(), CliError> {
    let path = format!("/v1/jobs/{job}/events");
    let mut last = 0;
    let mut pauses = client.pauses();
    loop {
        let mut asked = Some(BEFORE_RESUMING);
        let request = client.request(Method::GET, &path)?.header("last-event-id", last);
        match request.header(ACCEPT, "text/event-stream").send().await {
            Ok(answer) if answer.status().is_success() => {
                let mut bytes = answer.bytes_stream();
                let mut buffer = Vec::new();
                while let Some(Ok(piece)) = bytes.next().await {
                    buffer.extend_from_slice(&piece);
                    while let Some(end) = buffer.windows(2).position(|two| two == b"\n\n") {
                        let block: Vec<u8> = buffer.drain(..end + 2).collect();
                        let Some(event) = parse(&String::from_utf8_lossy(&block)) else { continue };
                        if event.id <= last {
                            continue;
                        }
                        last = event.id;
                        show(&event);
                        if event.is_final() {
                            return Ok(());
                        }
                        pauses = client.pauses();
                    }
                }
            }
            Ok(answer) if is_later(answer.status()) => asked = retry_after(&answer),
            Ok(answer) => return Err(client.refused(answer).await),
            Err(error) => {
                if !pauses.wait(None).await {
                    return Err(client.unreachable(&error));
                }
                continue;
            }
        }
        if !pauses.wait(asked).await {
            return Err(CliError::new(format!("the events of {job} broke off after number {last}")));
        }
    }
}

/// A block of a stream of server-sent events; `None` of a heartbeat.
fn parse(block: &str) -> Option<EventIn> {
    let data: Vec<&str> = block.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim_start).collect();
    let json = data.join("\n");
    let event: EventIn = serde_json::from_str(&json).ok()?;
    Some(EventIn { json, ..event })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_events_and_heartbeats_are_none() {
        let event = parse("id: 7\nevent: stage\ndata: {\"id\":7,\"type\":\"stage\",\"data\":{\"stage\":\"tune\"}}\n\n")
            .unwrap();
        assert_eq!((event.id, event.kind.as_str(), event.is_final()), (7, "stage", false));
        assert_eq!(event.data["stage"], "tune");
        assert!(parse(":\n\n").is_none());
        let last = parse("data: {\"id\":9,\"type\":\"cancelled\",\"data\":{}}\n\n").unwrap();
        assert!(last.is_final());
    }
}

//! `secateur logs`: what happened to a job, and what its engines wrote.

use clap::Args;
use reqwest::Method;
use secateur_core::plain_text;
use serde_json::Value;

use super::ServerChoice;
use super::events;
use crate::cli::{CliError, Verdict};

#[derive(Debug, Args)]
pub(in crate::cli) struct LogsArguments {
    /// The job's id, `job_…`
    job: String,
    /// Show its events as they come, until the job ends
    #[arg(short, long)]
    follow: bool,
    /// The events as JSON, one a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerChoice,
}

pub(in crate::cli) async fn logs(arguments: LogsArguments) -> Result<Verdict, CliError> {
    let client = arguments.server.client();
    let path = format!("/v1/jobs/{}", arguments.job);
    if arguments.follow {
        events::follow(&client, &arguments.job, |event| {
            crate::cli::print(&if arguments.json { event.json.clone() } else { line(&event.kind, &event.data) });
        })
        .await?;
        return Ok(Verdict::Good);
    }
    if !arguments.json {
        let answer = client.send(|| client.request(Method::GET, &format!("{path}/artifacts/log.txt"))).await?;
        let log = answer.text().await.map_err(|error| client.unreachable(&error))?;
        crate::cli::print(&log);
        return Ok(Verdict::Good);
    }
    let mut after = 0;
    loop {
        let page: Value = client.get(&format!("{path}/events?limit=200&after={after}")).await?;
        let items = page["items"].as_array().cloned().unwrap_or_default();
        for event in &items {
            crate::cli::print(&event.to_string());
        }
        match (items.is_empty(), page["next"].as_i64()) {
            (false, Some(next)) => after = next,
            _ => return Ok(Verdict::Good),
        }
    }
}

/// `progress stage=tune index=0 done=3 total=10`
fn line(kind: &str, data: &Value) -> String {
    let members = data.as_object().into_iter().flatten().map(|(name, value)| match value {
        Value::String(text) => format!(" {name}={}", plain_text::line(text)),
        value => format!(" {name}={value}"),
    });
    format!("{kind}{}", members.collect::<String>())
}

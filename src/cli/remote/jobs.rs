//! `secateur jobs`: the jobs of one's tenant, newest first.

use clap::Args;
use serde_json::Value;

use super::ServerChoice;
use crate::cli::table::{Align, Table};
use crate::cli::{CliError, Verdict};

const LONGEST_PAGE: usize = 200;

#[derive(Debug, Args)]
pub(in crate::cli) struct JobsArguments {
    /// Only jobs with this status: queued, running, succeeded, failed or cancelled
    #[arg(long)]
    status: Option<String>,
    /// The most that are shown
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    /// Print them as JSON, one job a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerChoice,
}

pub(in crate::cli) async fn jobs(arguments: JobsArguments) -> Result<Verdict, CliError> {
    let client = arguments.server.client();
    let mut found: Vec<Value> = Vec::new();
    let mut after = String::new();
    while found.len() < arguments.limit {
        let limit = (arguments.limit - found.len()).min(LONGEST_PAGE);
        let status = arguments.status.as_ref().map(|status| format!("&status={status}")).unwrap_or_default();
        let page: Value = client.get(&format!("/v1/jobs?limit={limit}{status}{after}")).await?;
        found.extend(page["items"].as_array().cloned().unwrap_or_default());
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    if arguments.json {
        let lines: Vec<String> = found.iter().map(Value::to_string).collect();
        crate::cli::print(&lines.join("\n"));
        return Ok(Verdict::Good);
    }
    let columns = ["id", "status", "stage", "target", "removed", "created", "name"];
    let mut table = Table::new(&columns.map(|title| (title, Align::Left)));
    for job in &found {
        let removed = job["result"]["reduction"]["flops_reduction"].as_f64();
        table.row([
            text(job, "id"),
            text(job, "status"),
            text(job, "stage"),
            target(job),
            removed.map(|share| format!("{:.1} % of the MACs", share * 100.0)).unwrap_or_default(),
            text(job, "created_at").chars().take(19).collect(),
            text(job, "name"),
        ]);
    }
    crate::cli::print(&table.render());
    Ok(Verdict::Good)
}

/// A member that is a text, or nothing.
pub(super) fn text(json: &Value, name: &str) -> String {
    json[name].as_str().unwrap_or_default().to_owned()
}

/// `flops_reduction 70 %`
pub(super) fn target(job: &Value) -> String {
    let target = job["spec"]["target"].as_object().and_then(|target| target.iter().next());
    target
        .map(|(metric, share)| format!("{metric} {:.0} %", share.as_f64().unwrap_or_default() * 100.0))
        .unwrap_or_default()
}

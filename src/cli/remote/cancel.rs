//! `secateur cancel`

use clap::Args;
use reqwest::Method;
use serde_json::Value;

use super::{ServerChoice, jobs};
use crate::cli::{CliError, Verdict};

#[derive(Debug, Args)]
pub(in crate::cli) struct CancelArguments {
    /// The job's id, `job_…`
    job: String,
    /// Print the job as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerChoice,
}

pub(in crate::cli) async fn cancel(arguments: CancelArguments) -> Result<Verdict, CliError> {
    let client = arguments.server.client();
    let path = format!("/v1/jobs/{}/cancel", arguments.job);
    let answer = client.send(|| client.request(Method::POST, &path)).await?;
    let job: Value = client.read(answer).await?;
    crate::cli::print(&if arguments.json { job.to_string() } else { jobs::text(&job, "status") });
    Ok(Verdict::Good)
}

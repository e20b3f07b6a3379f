//! `secateur get`: a job, or a file that it made.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use reqwest::{Method, Response};
use serde_json::Value;

use super::client::Client;
use super::{ServerChoice, jobs};
use crate::cli::outcome::WholeFile;
use crate::cli::table::{Align, Table};
use crate::cli::{CliError, Verdict};

#[derive(Debug, Args)]
pub(in crate::cli) struct GetArguments {
    /// The job's id, `job_…`
    job: String,
    /// A file that it made, such as `model.pt` or `report.json`
    artifact: Option<String>,
    /// Where to write the file [default: its name]; `-` for stdout
    #[arg(short, long, value_name = "FILE", requires = "artifact")]
    output: Option<PathBuf>,
    /// Print the job as JSON
    #[arg(long, conflicts_with = "artifact")]
    json: bool,
    #[command(flatten)]
    server: ServerChoice,
}

pub(in crate::cli) async fn get(arguments: GetArguments) -> Result<Verdict, CliError> {
    let client = arguments.server.client();
    let Some(name) = &arguments.artifact else {
        let job: Value = client.get(&format!("/v1/jobs/{}", arguments.job)).await?;
        crate::cli::print(&if arguments.json { job.to_string() } else { describe(&client, &job).await? });
        return Ok(Verdict::Good);
    };
    let to = arguments.output.unwrap_or_else(|| PathBuf::from(Path::new(name).file_name().unwrap_or_default()));
    if to == Path::new("-") {
        let mut pieces = open(&client, &arguments.job, name).await?;
        while let Some(piece) = pieces.chunk().await.map_err(|error| client.unreachable(&error))? {
            std::io::stdout().lock().write_all(&piece).map_err(CliError::new)?;
        }
    } else {
        download(&client, &arguments.job, name, &to).await?;
        eprintln!("wrote {}", to.display());
    }
    Ok(Verdict::Good)
}

/// Writes an artifact to a file, which appears whole or not at all; one that breaks off is fetched again.
pub(super) async fn download(client: &Client, job: &str, name: &str, to: &Path) -> Result<(), CliError> {
    let mut pauses = client.pauses();
    loop {
        let mut file = WholeFile::create(to)?;
        let mut pieces = open(client, job, name).await?;
        let error = loop {
            match pieces.chunk().await {
                Ok(Some(piece)) => file.write(&piece)?,
                Ok(None) => return file.keep(),
                Err(error) => break error,
            }
        };
        if !pauses.wait(None).await {
            return Err(client.unreachable(&error));
        }
    }
}

async fn open(client: &Client, job: &str, name: &str) -> Result<Response, CliError> {
    client.send(|| client.request(Method::GET, &format!("/v1/jobs/{job}/artifacts/{name}"))).await
}

async fn describe(client: &Client, job: &Value) -> Result<String, CliError> {
    let mut table = Table::new(&[("", Align::Left), ("", Align::Left)]);
    for name in ["id", "name", "status", "stage", "created_at", "started_at", "finished_at", "expires_at", "model_id"] {
        if !job[name].is_null() {
            table.row([name.to_owned(), jobs::text(job, name)]);
        }
    }
    table.row(["target".to_owned(), jobs::target(job)]);
    if let Some(eta) = job["eta_s"].as_f64() {
        table.row(["eta".to_owned(), format!("{eta:.0} s")]);
    }
    for (metric, share) in job["result"]["reduction"].as_object().into_iter().flatten() {
        table.row([metric.clone(), format!("{:.1} %", share.as_f64().unwrap_or_default() * 100.0)]);
    }
    if !job["error"].is_null() {
        table.row([
            "error".to_owned(),
            format!("{}: {}", jobs::text(&job["error"], "code"), jobs::text(&job["error"], "detail")),
        ]);
    }
    let id = jobs::text(job, "id");
    let artifacts: Value = client.get(&format!("/v1/jobs/{id}/artifacts")).await?;
    for artifact in artifacts["items"].as_array().into_iter().flatten() {
        table.row(["artifact".to_owned(), format!("{}, {} bytes", jobs::text(artifact, "name"), artifact["bytes"])]);
    }
    Ok(table.render())
}

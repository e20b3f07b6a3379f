//! `secateur submit`: a job on a server.

use std::path::{Path, PathBuf};

use clap::Args;
use reqwest::Method;
use secateur_core::plain_text;
use secateur_core::report::Report;
use secateur_core::stage::Stage;
use secateur_core::stage::verify::REPORT;
use secateur_core::wire::Progress;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::artifact::download;
use super::client::Client;
use super::events::{self, EventIn};
use super::upload::{Kind, upload};
use super::{ServerChoice, jobs};
use crate::artifact::MODEL;
use crate::cli::outcome::{describe, drop_verdict};
use crate::cli::progress::Display;
use crate::cli::prune::default_output;
use crate::cli::spec::SpecOptions;
use crate::cli::{CliError, Verdict};
use crate::id::{DatasetId, ModelId};
use crate::local::Observer;
use crate::report_page::REPORT_PAGE;

#[derive(Debug, Args)]
pub(in crate::cli) struct SubmitArguments {
    /// A TorchScript model, or the id of one that was uploaded, `mdl_…`
    model: String,
    #[command(flatten)]
    spec: SpecOptions,
    /// Data to fine-tune and measure with: a file in a format of docs/data.md, or the id of an uploaded one
    #[arg(long, value_name = "FILE|ID")]
    data: Option<String>,
    /// Label of the job; may be given more than once
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_label)]
    label: Vec<(String, String)>,
    /// What the job is called
    #[arg(long)]
    name: Option<String>,
    /// The same key with the same request gives the same job, also from another machine [default: a new one]
    #[arg(long, value_name = "TEXT")]
    idempotency_key: Option<String>,
    /// Show what happens until the job ends, then write the model and print the report
    #[arg(short, long)]
    follow: bool,
    /// Where to write the pruned model [default: the model's name with -pruned]
    #[arg(short, long, value_name = "FILE", requires = "follow")]
    output: Option<PathBuf>,
    /// Where to write report.json
    #[arg(long, value_name = "FILE", requires = "follow")]
    report: Option<PathBuf>,
    /// Where to write the report as a page, report.html
    #[arg(long, value_name = "FILE", requires = "follow")]
    report_html: Option<PathBuf>,
    /// Exit with 4 when the metric on the test split falls by more points than this, 0.5 is half a point
    #[arg(long, value_name = "POINTS", requires = "follow")]
    max_drop: Option<f64>,
    /// Print the job, or with --follow the report and `job_id`, as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerChoice,
}

/// `team=vision`
fn parse_label(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("`{text}` is no label, such as team=vision"))?;
    Ok((name.to_owned(), value.to_owned()))
}

#[derive(Debug, Deserialize)]
struct ErrorIn {
    code: String,
    detail: String,
    #[serde(default)]
    hint: Option<String>,
}

pub(in crate::cli) async fn submit(arguments: SubmitArguments) -> Result<Verdict, CliError> {
    let client = arguments.server.client();
    let mut order = arguments.spec.fields()?;
    order
        .insert("model_id".to_owned(), json!(uploaded(&client, Kind::Model, &arguments.model, ModelId::PREFIX).await?));
    if let Some(data) = &arguments.data {
        order.insert("dataset_id".to_owned(), json!(uploaded(&client, Kind::Dataset, data, DatasetId::PREFIX).await?));
    }
    if let Some(name) = &arguments.name {
        order.insert("name".to_owned(), json!(name));
    }
    if !arguments.label.is_empty() {
        let labels = order.entry("labels").or_insert_with(|| json!({}));
        for (name, value) in &arguments.label {
            labels[name] = json!(value);
        }
    }
    let job = send(&client, &order, arguments.idempotency_key.as_deref()).await?;
    let id = jobs::text(&job, "id");
    if !arguments.follow {
        crate::cli::print(&if arguments.json { job.to_string() } else { id });
        return Ok(Verdict::Good);
    }
    eprintln!("{id}");
    let mut display = Display::new();
    events::follow(&client, &id, |event| show(&mut display, event)).await?;
    finish(&client, &id, &arguments).await
}

/// The id of a file once it is on the server, or of what is there.
async fn uploaded(client: &Client, kind: Kind, given: &str, prefix: &str) -> Result<String, CliError> {
    if given.starts_with(prefix) && !Path::new(given).exists() {
        return Ok(given.to_owned());
    }
    upload(client, kind, Path::new(given)).await
}

async fn send(client: &Client, order: &Map<String, Value>, key: Option<&str>) -> Result<Value, CliError> {
    let key = key.map_or_else(|| uuid::Uuid::now_v7().to_string(), str::to_owned);
    let body = Value::Object(order.clone()).to_string();
    let request = || {
        let request = client.request(Method::POST, "/v1/jobs")?.header("idempotency-key", &key);
        Ok(request.header("content-type", "application/json").body(body.clone()))
    };
    let answer = client.send(request).await?;
    client.read(answer).await
}

/// What a local job would show of the same.
fn show(display: &mut Display, event: &EventIn) {
    let stage = event.data["stage"].as_str().and_then(Stage::parse);
    let index = event.data["index"].as_u64().unwrap_or_default() as usize;
    match (event.kind.as_str(), stage) {
        ("stage", Some(stage)) => {
            display.stage_begins(stage, event.data["tasks"].as_u64().unwrap_or(1) as usize);
        }
        ("progress", Some(stage)) => {
            let number = |name: &str| event.data[name].as_u64().unwrap_or_default();
            let progress = Progress {
                done: number("done"),
                total: number("total"),
                unit: event.data["unit"].as_str().unwrap_or_default().to_owned(),
                rate: event.data["rate"].as_f64(),
                note: event.data["note"].as_str().map(str::to_owned),
            };
            display.progress(stage, index, &progress);
        }
        ("task_finished", Some(stage)) => display.task_ends(stage, index),
        ("task_retried", Some(stage)) => {
            let reason = event.data["reason"].as_str().unwrap_or_default();
            eprintln!("{} {index} runs again: {}", stage.as_str(), plain_text::line(reason));
        }
        ("paused" | "resumed", _) => eprintln!("the job is {}", event.kind),
        _ => {}
    }
}

/// Fetches what the job made; whether it is what was asked for.
async fn finish(client: &Client, id: &str, arguments: &SubmitArguments) -> Result<Verdict, CliError> {
    let job: Value = client.get(&format!("/v1/jobs/{id}")).await?;
    match job["status"].as_str() {
        Some("succeeded") => {}
        Some("cancelled") => return Err(CliError::new(format!("{id} was cancelled"))),
        _ => {
            let error: ErrorIn = serde_json::from_value(job["error"].clone()).map_err(CliError::new)?;
            let failed = CliError::of_job(&error.code, error.detail);
            return Err(match error.hint {
                Some(hint) => failed.hint(hint),
                None => failed,
            });
        }
    }
    let output = arguments.output.clone().unwrap_or_else(|| default_output(Path::new(&arguments.model)));
    download(client, id, MODEL, &output).await?;
    if let Some(path) = &arguments.report {
        download(client, id, REPORT, path).await?;
    }
    if let Some(path) = &arguments.report_html {
        download(client, id, REPORT_PAGE, path).await?;
    }
    let mut answer = client.get::<Value>(&format!("/v1/jobs/{id}/artifacts/{REPORT}")).await?;
    let report: Report = serde_json::from_value(answer.clone())
        .map_err(|error| CliError::new(format!("the report is of another version of the program: {error}")))?;
    answer["job_id"] = json!(id);
    crate::cli::print(&if arguments.json { answer.to_string() } else { describe(&report) });
    eprintln!("wrote {}", plain_text::line(&output.display().to_string()));
    Ok(drop_verdict(&report, arguments.max_drop))
}

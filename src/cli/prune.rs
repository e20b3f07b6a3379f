//! `secateur prune`: one job here and now.

use std::path::{Path, PathBuf};

use clap::Args;
use secateur_core::dataset;
use secateur_core::plain_text;
use secateur_core::report::Report;
use secateur_core::spec::JobSpec;
use secateur_core::stage::export::{PRUNED_MODEL, TRITON};
use secateur_core::stage::verify::REPORT;
use secateur_core::stage::{Stage, TaskResult};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::engine::EngineOptions;
use super::outcome::{WholeFile, describe, drop_verdict};
use super::progress::Display;
use super::spec::SpecOptions;
use super::{CliError, Verdict, all_cores, cancelled_by_signals};
use crate::job::Order;
use crate::local::{self, LocalError, LocalJob, LocalOptions};
use crate::report_page::{self, Origin};
use crate::upload::check_fit;

const MOST_THREADS: i64 = 1024;

#[derive(Debug, Args)]
pub(super) struct PruneArguments {
    /// A TorchScript model
    model: PathBuf,
    #[command(flatten)]
    spec: SpecOptions,
    /// Data to fine-tune and measure with: .npz, .safetensors, or a format of docs/data.md
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// A command that is given the path of each finalist and prints its score last; it chooses among them, as `judge` in the spec says
    #[arg(long, value_name = "COMMAND")]
    judge: Option<String>,
    /// Compute threads; a latency is that of as many [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=MOST_THREADS))]
    threads: Option<u16>,
    /// Where to write the pruned model [default: the model's name with -pruned]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Where to write report.json
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Where to write the report as a page, report.html
    #[arg(long, value_name = "FILE")]
    report_html: Option<PathBuf>,
    /// Where to write the pruned model for Triton's model repository, a zip archive; `triton` in the spec says its name and batch
    #[arg(long, value_name = "FILE")]
    triton: Option<PathBuf>,
    /// Exit with 4 when the metric on the test split falls by more points than this, 0.5 is half a point
    #[arg(long, value_name = "POINTS", requires = "data", allow_negative_numbers = true)]
    max_drop: Option<f64>,
    #[command(flatten)]
    engine: EngineOptions,
}

pub(super) async fn prune(arguments: PruneArguments) -> Result<Verdict, CliError> {
    let mut spec = spec(&arguments)?;
    if spec.webhook.take().is_some() {
        eprintln!("warning: `webhook` in the spec is for servers; nobody is told when this ends");
    }
    if spec.judge.is_some() && arguments.judge.is_none() {
        return Err(LocalError::NoJudge.into());
    }
    secateur_core::archive::preflight(&arguments.model)?;
    let data = arguments.data.as_deref().map(dataset::summarise).transpose()?;
    check_fit(&spec, data.as_ref())?;
    let output = arguments.output.clone().unwrap_or_else(|| default_output(&arguments.model));
    let options = LocalOptions {
        engine: arguments.engine.find()?,
        device: arguments.engine.device(),
        threads: arguments.threads.map_or_else(all_cores, usize::from),
        model: arguments.model,
        dataset: arguments.data,
        order: Order::Prune(Box::new(spec)),
        judge: arguments.judge,
        scratch: None,
        stop: cancelled_by_signals(),
    };
    let job = local::run(&options, &mut Display::new()).await?;
    copy_file(&job.output(Stage::Export, 0, PRUNED_MODEL), &output)?;
    if let Some(report) = &arguments.report {
        copy_file(&job.output(Stage::Verify, 0, REPORT), report)?;
    }
    if let Some(triton) = &arguments.triton {
        copy_file(&job.output(Stage::Export, 0, TRITON), triton)?;
    }
    let report = report_of(&job)?;
    if let Some(path) = &arguments.report_html {
        let mut file = WholeFile::create(path)?;
        file.write(report_page::page(report, &Origin { job: None, written_at: OffsetDateTime::now_utc() }).as_bytes())?;
        file.keep()?;
    }
    super::print(&describe(report));
    if let Some(reason) = report.judge.as_ref().and_then(|judge| judge.judgement.reason.as_deref()) {
        eprintln!("warning: the job's own metric chose the network, not the judge. {}", plain_text::line(reason));
    }
    eprintln!("wrote {}", plain_text::line(&output.display().to_string()));
    Ok(drop_verdict(report, arguments.max_drop))
}

/// The spec that the options make.
fn spec(arguments: &PruneArguments) -> Result<JobSpec, CliError> {
    let mut fields = arguments.spec.fields()?;
    for (field, is_asked_for) in [("judge", arguments.judge.is_some()), ("triton", arguments.triton.is_some())] {
        let settings = is_asked_for.then(|| fields.entry(field).or_insert(Value::Null));
        if let Some(settings) = settings.filter(|settings| settings.is_null()) {
            *settings = json!({});
        }
    }
    Ok(JobSpec::from_json(&Value::Object(fields).to_string())?)
}

pub(super) fn default_output(model: &Path) -> PathBuf {
    let stem = model.file_stem().unwrap_or_default().to_string_lossy();
    model.with_file_name(format!("{stem}-pruned.pt"))
}

fn copy_file(from: &Path, to: &Path) -> Result<(), CliError> {
    let mut file = WholeFile::create(to)?;
    file.copy(from)?;
    file.keep()
}

fn report_of(job: &LocalJob) -> Result<&Report, CliError> {
    let report = job.finished.iter().find_map(|task| match &task.result {
        TaskResult::Verify(verified) => Some(verified.report.as_ref()),
        _ => None,
    });
    report.ok_or_else(|| CliError::new("the job brought no report"))
}

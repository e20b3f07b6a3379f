//! `secateur prune`: one job here and now.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args, ValueEnum};
use secateur_core::dataset;
use secateur_core::plain_text;
use secateur_core::recovery::MetricReport;
use secateur_core::report::{ComputeReport, Report};
use secateur_core::spec::{InputShape, InputSpec, JobSpec};
use secateur_core::stage::export::PRUNED_MODEL;
use secateur_core::stage::verify::REPORT;
use secateur_core::stage::{Stage, TaskResult};
use serde_json::{Map, Value, json};

use super::engine::EngineOptions;
use super::progress::Display;
use super::table::{Align, Table, grouped, percent};
use super::{CliError, all_cores, cancelled_by_signals};
use crate::job::Order;
use crate::local::{self, LocalError, LocalJob, LocalOptions};
use crate::upload::check_fit;

#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum MethodChoice {
    /// Search over millions of configurations, guided by graph embedding and measured sensitivities
    Sacp,
    /// The same share of every group
    Uniform,
    /// One threshold over the L1 norms of all channels
    GlobalL1,
    /// One threshold over the L2 norms of all channels
    GlobalL2,
}

/// The presets of a spec.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum PresetChoice {
    /// Minutes on two cores for a small network
    Quick,
    /// The SACP paper's
    Paper,
}

const MOST_THREADS: i64 = 1024;

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("target").args(["flops", "params", "channels", "latency", "spec"]).multiple(true).required(true))]
pub(super) struct PruneArguments {
    /// A TorchScript model
    model: PathBuf,
    /// Share of the multiply-accumulates to remove, 0.7 removes 70 %
    #[arg(long, value_name = "SHARE", conflicts_with_all = ["params", "channels", "latency"])]
    flops: Option<f64>,
    /// Share of the parameters to remove
    #[arg(long, value_name = "SHARE", conflicts_with_all = ["channels", "latency"])]
    params: Option<f64>,
    /// Share of the prunable channels to remove
    #[arg(long, value_name = "SHARE", conflicts_with = "latency")]
    channels: Option<f64>,
    /// Share of the latency at batch 1 on this machine to remove, by a table that is measured first
    #[arg(long, value_name = "SHARE")]
    latency: Option<f64>,
    /// Data to fine-tune and measure with: .npz, .safetensors, or a format of docs/data.md
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// A job spec as JSON; options go before what it says
    #[arg(long, value_name = "FILE")]
    spec: Option<PathBuf>,
    /// How widths are chosen
    #[arg(long)]
    method: Option<MethodChoice>,
    /// Sizes of search and training for a purpose
    #[arg(long)]
    preset: Option<PresetChoice>,
    /// Epochs of fine-tuning
    #[arg(long, value_name = "N", conflicts_with = "no_fine_tune")]
    epochs: Option<u32>,
    /// Prune only
    #[arg(long)]
    no_fine_tune: bool,
    /// Seed of everything random
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// One sample's shape without the batch, `3,32,32`; once for each input
    #[arg(long, value_name = "SIZES", value_parser = parse_shape)]
    input_shape: Vec<Vec<i64>>,
    /// An input with its type, `7:int64`, and the largest number of an integer one, `7:int64:30521`; `=16000` for an input that takes
    /// a number; once for each input, in their order or with their names, `ids=7:int64`
    #[arg(long, value_name = "[NAME=]SIZES[:DTYPE[:MAX]]|[NAME=]=NUMBER", value_parser = parse_input, conflicts_with = "input_shape")]
    input: Vec<InputSpec>,
    /// The model sees (stored - mean) / std: one number, or one for each channel
    #[arg(long, value_name = "NUMBERS", value_parser = parse_numbers, requires = "std")]
    mean: Option<Value>,
    /// The std of that
    #[arg(long, value_name = "NUMBERS", value_parser = parse_numbers, requires = "mean")]
    std: Option<Value>,
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
    #[command(flatten)]
    engine: EngineOptions,
}

/// `3,32,32`
pub(super) fn parse_shape(text: &str) -> Result<Vec<i64>, String> {
    let sizes: Result<Vec<i64>, _> = text.split(',').map(|size| size.trim().parse()).collect();
    sizes.map_err(|_| format!("`{text}` is no shape: sizes with commas between, such as 3,32,32"))
}

/// `3,32,32`, `7:int64` or `7:int64:30521`; no sizes are one number for each sample. `=16000` for an input that takes a number. All of
/// these may have a name in front, `ids=7:int64`.
pub(super) fn parse_input(text: &str) -> Result<InputSpec, String> {
    match text.split_once('=') {
        Some((name, rest)) if !name.is_empty() => {
            Ok(InputSpec { name: Some(name.trim().to_owned()), ..parse_input_without_name(rest)? })
        }
        _ => parse_input_without_name(text),
    }
}

fn parse_input_without_name(text: &str) -> Result<InputSpec, String> {
    if let Some(number) = text.strip_prefix('=') {
        let value = number.trim().parse().map_err(|_| format!("`{text}` gives no number, as =16000 does"))?;
        return Ok(InputSpec { value: Some(value), ..InputSpec::from(Vec::new()) });
    }
    let mut parts = text.split(':');
    let sizes = parts.next().unwrap_or_default();
    let shape = if sizes.trim().is_empty() { Vec::new() } else { parse_shape(sizes)? };
    let (dtype, max) = (parts.next(), parts.next());
    if parts.next().is_some() {
        return Err(format!("`{text}` has more than sizes, a type and the largest number, as in 7:int64:30521"));
    }
    let dtype = dtype.map(|name| serde_json::from_value(json!(name))).transpose().map_err(|_| {
        format!("`{text}` names no type: float32, int64, int32, int16, int8, uint8 and bool are the usual ones")
    })?;
    let max = max.map(str::parse).transpose().map_err(|_| format!("`{text}` does not end with a number"))?;
    Ok(InputSpec { dtype, max, ..InputSpec::from(shape) })
}

/// `128` or `0.485,0.456,0.406`, as in the spec.
fn parse_numbers(text: &str) -> Result<Value, String> {
    let numbers: Result<Vec<f64>, _> = text.split(',').map(|number| number.trim().parse()).collect();
    match numbers {
        Ok(numbers) if numbers.len() == 1 => Ok(json!(numbers[0])),
        Ok(numbers) => Ok(json!(numbers)),
        Err(_) => Err(format!("`{text}` is not a number, nor numbers with commas between")),
    }
}

pub(super) async fn prune(arguments: PruneArguments) -> Result<(), CliError> {
    let mut spec = spec(&arguments)?;
    if spec.webhook.take().is_some() {
        eprintln!("warning: `webhook` in the spec is for servers; nobody is told when this ends");
    }
    if spec.judge.is_some() && arguments.judge.is_none() {
        return Err(LocalError::NoJudge.into());
    }
    secateur_core::archive::preflight(&arguments.model)?;
    if let Some(data) = &arguments.data {
        check_fit(&spec, Some(&dataset::summarise(data)?))?;
    }
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
    write_file(&job.output(Stage::Export, 0, PRUNED_MODEL), &output)?;
    if let Some(report) = &arguments.report {
        write_file(&job.output(Stage::Verify, 0, REPORT), report)?;
    }
    let report = report_of(&job)?;
    super::print(&describe(report));
    if let Some(reason) = report.judge.as_ref().and_then(|judge| judge.judgement.reason.as_deref()) {
        eprintln!("warning: the job's own metric chose the network, not the judge. {}", plain_text::line(reason));
    }
    eprintln!("wrote {}", plain_text::line(&output.display().to_string()));
    Ok(())
}

/// The spec file's fields, with the options over them.
fn spec(arguments: &PruneArguments) -> Result<JobSpec, CliError> {
    let mut fields: Map<String, Value> = match &arguments.spec {
        Some(path) => {
            let json =
                std::fs::read_to_string(path).map_err(|error| CliError::new(format!("{}: {error}", path.display())))?;
            serde_json::from_str(&json).map_err(|error| CliError::new(format!("{}: {error}", path.display())))?
        }
        None => Map::new(),
    };
    let target = [
        ("flops_reduction", arguments.flops),
        ("params_reduction", arguments.params),
        ("channel_reduction", arguments.channels),
        ("latency_reduction", arguments.latency),
    ];
    if let Some((metric, Some(share))) = target.into_iter().find(|(_, share)| share.is_some()) {
        fields.insert("target".to_owned(), json!({metric: share}));
    }
    if let Some(method) = arguments.method.and_then(|method| method.to_possible_value()) {
        fields.insert("method".to_owned(), json!(method.get_name()));
    }
    if let Some(preset) = arguments.preset.and_then(|preset| preset.to_possible_value()) {
        fields.insert("preset".to_owned(), json!(preset.get_name()));
    }
    if let Some(seed) = arguments.seed {
        fields.insert("seed".to_owned(), json!(seed));
    }
    if arguments.no_fine_tune {
        fields.insert("fine_tune".to_owned(), Value::Null);
    }
    if let Some(epochs) = arguments.epochs {
        let fine_tune = fields.entry("fine_tune").or_insert_with(|| json!({}));
        if fine_tune.is_null() {
            *fine_tune = json!({});
        }
        fine_tune["epochs"] = json!(epochs);
    }
    if arguments.judge.is_some() {
        let judge = fields.entry("judge").or_insert_with(|| json!({}));
        if judge.is_null() {
            *judge = json!({});
        }
    }
    if let Some(shape) = InputShape::of(arguments.input_shape.clone()) {
        fields.insert("input_shape".to_owned(), json!(shape));
    }
    if !arguments.input.is_empty() {
        fields.insert("inputs".to_owned(), json!(arguments.input));
    }
    if let (Some(mean), Some(std)) = (&arguments.mean, &arguments.std) {
        fields.insert("input".to_owned(), json!({"mean": mean, "std": std}));
    }
    Ok(JobSpec::from_json(&Value::Object(fields).to_string())?)
}

fn default_output(model: &Path) -> PathBuf {
    let stem = model.file_stem().unwrap_or_default().to_string_lossy();
    model.with_file_name(format!("{stem}-pruned.pt"))
}

/// Copies a file to where the user wants it; it appears there whole or not at all.
fn write_file(from: &Path, to: &Path) -> Result<(), CliError> {
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let written = (|| {
        let mut partial = tempfile::Builder::new().permissions(readable()).tempfile_in(folder)?;
        std::io::copy(&mut std::fs::File::open(from)?, &mut partial)?;
        partial.persist(to)?;
        Ok::<_, std::io::Error>(())
    })();
    written.map_err(|error| CliError::new(format!("{}: {error}", to.display())))
}

fn readable() -> std::fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o644)
}

fn report_of(job: &LocalJob) -> Result<&Report, CliError> {
    let report = job.finished.iter().find_map(|task| match &task.result {
        TaskResult::Verify(verified) => Some(verified.report.as_ref()),
        _ => None,
    });
    report.ok_or_else(|| CliError::new("the job brought no report"))
}

fn describe(report: &Report) -> String {
    let (base, pruned) = (&report.base, &report.pruned);
    let mut table =
        Table::new(&[("", Align::Left), ("before", Align::Right), ("after", Align::Right), ("removed", Align::Right)]);
    let share = |before: u64, after: u64| percent(1.0 - after as f64 / before.max(1) as f64);
    for (title, before, after) in [
        ("MACs", base.macs, pruned.macs),
        ("parameters", base.params, pruned.params),
        ("file bytes", base.bytes, pruned.bytes),
    ] {
        table.row([title.to_owned(), grouped(before), grouped(after), share(before, after)]);
    }
    let milliseconds = |value: f64| format!("{value:.3}");
    let (before, after) = (base.latency_ms.p50, pruned.latency_ms.p50);
    let title = format!("latency p50, ms (batch {})", base.latency_ms.batch);
    table.row([title, milliseconds(before), milliseconds(after), percent(1.0 - after / before)]);
    if let Some(MetricReport { name, base, pruned, .. }) = &report.metric {
        let points = |before: f64, after: f64| format!("{:+.2} points", (after - before) * 100.0);
        for (split, before, after) in [("val", base.val, pruned.val), ("test", base.test, pruned.test)] {
            let share = |value: f64| format!("{:.2} %", value * 100.0);
            let title = format!("{split} {}", name.as_str().replace('_', " "));
            table.row([title, share(before), share(after), points(before, after)]);
        }
    }
    let mut text = table.render();
    if let ComputeReport { job, plain: Some(plain), .. } = &report.compute {
        let of_original = job.epochs_of_original;
        let _ = write!(text, "training: {:.1} epochs, as long as {of_original:.1} of the original", job.epochs);
        if job.epochs > plain.epochs {
            let times = of_original / plain.epochs_of_original;
            let _ = write!(text, "; {times:.1} times a fine-tune of the result alone");
        }
        text.push('\n');
    }
    text
}

//! `secateur inspect`: what a model is made of and how much of it can go.

use std::path::PathBuf;

use clap::Args;
use secateur_core::graph::InputDimension;
use secateur_core::inspection::{ExpectedExport, ExportKind, ModelSummary};
use secateur_core::output::{ModelOutput, Squashing};
use secateur_core::spec::{InputShape, InputSpec, InspectionSpec};
use secateur_core::stage::Stage;
use secateur_core::stage::graph::SUMMARY;

use super::engine::EngineOptions;
use super::progress::Display;
use super::spec::{parse_input, parse_shape};
use super::table::{Align, Table, grouped, percent};
use super::{CliError, all_cores, cancelled_by_signals};
use crate::job::Order;
use crate::local::{self, LocalOptions};

/// Tensors of a group that its line names.
const TENSORS_SHOWN: usize = 4;

#[derive(Debug, Args)]
pub(super) struct InspectArguments {
    /// A TorchScript model
    model: PathBuf,
    /// One sample's shape without the batch, `3,32,32`; once for each input
    #[arg(long, value_name = "SIZES", value_parser = parse_shape)]
    input_shape: Vec<Vec<i64>>,
    /// An input with its type, `7:int64`, and the largest number of an integer one, `7:int64:30521`; `=16000` for an input that takes
    /// a number; once for each input
    #[arg(long, value_name = "SIZES[:DTYPE[:MAX]]|=NUMBER", value_parser = parse_input, conflicts_with = "input_shape")]
    input: Vec<InputSpec>,
    /// Print summary.json as it is
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    engine: EngineOptions,
}

pub(super) async fn inspect(arguments: InspectArguments) -> Result<(), CliError> {
    secateur_core::archive::preflight(&arguments.model)?;
    let options = LocalOptions {
        engine: arguments.engine.find()?,
        device: arguments.engine.device(),
        threads: all_cores(),
        model: arguments.model,
        dataset: None,
        order: Order::Inspect(InspectionSpec::new(
            InputShape::of(arguments.input_shape),
            Some(arguments.input).filter(|inputs| !inputs.is_empty()),
        )?),
        judge: None,
        scratch: None,
        stop: cancelled_by_signals(),
    };
    let job = local::run(&options, &mut Display::new()).await?;
    let path = job.output(Stage::Inspect, 0, SUMMARY);
    let summary = std::fs::read_to_string(path).map_err(CliError::new)?;
    if arguments.json {
        super::print(&summary);
    } else {
        super::print(&describe(&serde_json::from_str(&summary).map_err(CliError::new)?));
    }
    Ok(())
}

fn describe(summary: &ModelSummary) -> String {
    let mut text = layer_table(summary);
    text += &format!("\n{}\n", totals(summary));
    if summary.groups.iter().any(|group| group.unprunable.is_none()) {
        text += &format!("\n{}", group_table(summary));
    }
    if !summary.obstacles.is_empty() {
        text += &format!("\n{}", obstacle_table(summary));
    }
    text += &format!("\n{}\n", sizes(summary));
    text.extend(summary.outputs.iter().map(|output| format!("{}\n", meaning(output))));
    if let Some(export) = &summary.export {
        text += &format!("{}\n", pruned_file(export));
    }
    if !summary.specialisations.is_empty() {
        text += "\ntaken for inputs of this size only:\n";
        text.extend(summary.specialisations.iter().map(|place| format!("  {place}\n")));
    }
    if !summary.advice.is_empty() {
        text += "\nwhat you could do:\n";
        text.extend(summary.advice.iter().map(|sentence| format!("  {sentence}\n")));
    }
    text
}

/// Which sizes of the inputs may be others than those that were given.
fn sizes(summary: &ModelSummary) -> String {
    if summary.free_sizes.is_empty() {
        return "sizes of the inputs: the batch alone may vary".to_owned();
    }
    let several = summary.inputs.len() > 1;
    let dimension = |at: &InputDimension| match several {
        true => format!("dimension {} of input {}", at.dimension, at.input),
        false => format!("dimension {}", at.dimension),
    };
    let open = summary.free_sizes.iter().map(|free| {
        let dimensions: Vec<String> = free.dimensions.iter().map(dimension).collect();
        let how = if free.may_grow { "may vary" } else { "may be smaller" };
        let step = if free.step == 1 { String::new() } else { format!(" by multiples of {}", free.step) };
        format!("{} ({}) {how}{step}", dimensions.join(" with "), free.size)
    });
    format!("sizes of one sample: {}", open.collect::<Vec<_>>().join("; "))
}

/// What an output is taken for.
fn meaning(output: &ModelOutput) -> String {
    let ModelOutput { index, name, kind, axis, squashing, presumed, feeds } = output;
    let name = if name.is_empty() { String::new() } else { format!(" ({name})") };
    let axis = axis.map_or(String::new(), |axis| format!(" along axis {axis}"));
    let squashing = match squashing {
        Squashing::None => String::new(),
        other => format!(", behind a {}", <&str>::from(other).replace('_', " ")),
    };
    let presumed = if *presumed { ", by its shape: `fine_tune.outputs` can say otherwise" } else { "" };
    let feeds = feeds.first().map_or(String::new(), |other| format!(", which output {other} is computed from"));
    format!("output {index}{name}: {}{axis}{squashing}{feeds}{presumed}", kind.as_str())
}

fn pruned_file(export: &ExpectedExport) -> String {
    match (export.kind, &export.reason) {
        (ExportKind::Patched, _) => "a pruned file is this program with smaller tensors".to_owned(),
        (ExportKind::Recorded, reason) => {
            let reason = reason.as_deref().unwrap_or("the program cannot be patched");
            format!("a pruned file is a recording of one run, since {reason}\n  {}", export.lost.join("\n  "))
        }
    }
}

fn layer_table(summary: &ModelSummary) -> String {
    let mut table = Table::new(&[
        ("layer", Align::Left),
        ("type", Align::Left),
        ("in", Align::Right),
        ("out", Align::Right),
        ("group", Align::Left),
        ("MACs", Align::Right),
        ("params", Align::Right),
        ("prunable", Align::Left),
    ]);
    let channels = |channels: Option<u64>| channels.map_or_else(|| "-".to_owned(), grouped);
    for layer in &summary.layers {
        table.row([
            layer.layer.clone(),
            layer.kind.clone(),
            channels(layer.channels_in),
            channels(layer.channels_out),
            layer.group.clone().unwrap_or_else(|| "-".to_owned()),
            grouped(layer.macs),
            grouped(layer.params),
            layer.unprunable.as_ref().map_or_else(|| "yes".to_owned(), |reason| format!("no: {reason}")),
        ]);
    }
    table.render()
}

fn group_table(summary: &ModelSummary) -> String {
    let mut table = Table::new(&[("group", Align::Left), ("channels", Align::Right), ("cut together", Align::Left)]);
    for group in summary.groups.iter().filter(|group| group.unprunable.is_none()) {
        let (shown, more) = group.tensors.split_at(group.tensors.len().min(TENSORS_SHOWN));
        let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
        table.row([group.name.clone(), grouped(group.channels), format!("{}{more}", shown.join(", "))]);
    }
    table.render()
}

fn obstacle_table(summary: &ModelSummary) -> String {
    let mut table =
        Table::new(&[("no channel passes", Align::Left), ("channels kept", Align::Right), ("because", Align::Left)]);
    for obstacle in &summary.obstacles {
        table.row([obstacle.node.clone(), grouped(obstacle.channels), obstacle.reason.clone()]);
    }
    table.render()
}

fn totals(summary: &ModelSummary) -> String {
    let prunable = summary.groups.iter().filter(|group| group.unprunable.is_none()).count();
    let reachable: Vec<String> =
        summary.reachable.iter().map(|(metric, &share)| format!("{metric} {}", percent(share))).collect();
    format!(
        "input     {}\ntotal     {} MACs, {} parameters, {} prunable channels in {prunable} groups\n\
         reachable {}\nspace     10^{:.0} configurations",
        summary.inputs.iter().map(|shape| format!("{shape:?}")).collect::<Vec<_>>().join(", "),
        grouped(summary.base.macs),
        grouped(summary.base.params),
        grouped(summary.base.channels),
        reachable.join(", "),
        summary.log10_space,
    )
}

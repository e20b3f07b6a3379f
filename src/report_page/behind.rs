//! What stands behind the result: what was asked, what it cost, what was proved, and how to do it again.

use maud::{Markup, html};
use secateur_core::inspection::ExportKind;
use secateur_core::recovery::DataReport;
use secateur_core::report::{ExportReport, Report, SizesReport, Spent};
use secateur_core::spec::Method;
use secateur_core::stage::Stage;

use super::{chart, text};

/// More changes of the program than this are told by their number.
const MOST_EDITS: usize = 40;

pub(super) fn asked(report: &Report) -> Markup {
    let target = &report.spec.target;
    let removed = report.reduction.get(target.metric.field());
    html! {
        section {
            h2 { "What was asked" }
            p {
                "To remove " strong { (text::percent(target.reduction.get(), 1)) } " of the " (text::counted(target.metric))
                @if let Some(drop) = target.max_metric_drop {
                    ", with a metric on validation that falls by no more than " (format!("{:.2}", drop.get() * 100.0)) " points"
                }
                ". "
                @if let Some(removed) = removed { "Removed were " strong { (text::percent(*removed, 1)) } ". " }
                (method(report.spec.method))
            }
            @match &report.data {
                Some(data) => p { (describe_data(report, data)) },
                None => p { "There was no data set, so nothing was trained or measured on samples." },
            }
        }
    }
}

fn method(method: Method) -> &'static str {
    match method {
        Method::Sacp => {
            "The widths of the layers were searched (SACP), and the networks of the classical methods took part."
        }
        Method::Uniform => "Every group of channels lost the same share (uniform).",
        Method::GlobalL1 => "The channels of least L1 norm went, over all layers (global L1).",
        Method::GlobalL2 => "The channels of least L2 norm went, over all layers (global L2).",
        Method::Config => "The widths are those of an earlier job.",
    }
}

fn describe_data(report: &Report, data: &DataReport) -> Markup {
    let samples = data.samples;
    let labels = match (&data.supervision, data.classes) {
        (Some(_), Some(classes)) => format!("labels of {classes} classes"),
        (Some(_), None) => "labels".to_owned(),
        (None, _) => "no labels: the original’s own outputs were the teacher".to_owned(),
    };
    html! {
        "The data set has " (samples.train) " samples to train on, " (samples.val) " to validate and " (samples.test) " to test, with " (labels) ". "
        @match &report.spec.fine_tune {
            Some(settings) => { "The result was trained for at most " (settings.epochs) " epochs." }
            None => "The job asked for no training.",
        }
        @if let Some(source) = &data.source && source.bad_samples > 0 {
            " " (source.bad_samples) " samples could not be read and were left out."
        }
    }
}

pub(super) fn cost(report: &Report) -> Markup {
    let computed: Vec<(Stage, f64)> =
        Stage::ALL.iter().filter_map(|&stage| Some((stage, report.times.get(stage.as_str())?.computing))).collect();
    let longest = computed.iter().map(|(_, seconds)| *seconds).fold(0.0, f64::max);
    let Spent { epochs, epochs_of_original, seconds } = report.compute.job;
    html! {
        section {
            h2 { "What it cost" }
            p {
                "Computing took " strong { (text::duration(seconds)) } ", " (format!("{epochs:.1}"))
                " epochs of training among it, which are as much work as " (format!("{epochs_of_original:.1}")) " epochs of the original network. "
                @if let Some(plain) = &report.compute.plain && plain.epochs_of_original > 0.0 {
                    "The fine-tune of the result alone is " (format!("{:.1}", plain.epochs_of_original)) " of these: the job cost "
                    (format!("{:.1}", epochs_of_original / plain.epochs_of_original)) " times that. "
                }
                @let reused = report.reused;
                @if reused.sensitivities + reused.screens > 0 {
                    (reused.sensitivities) " sensitivities and " (reused.screens) " measured networks were taken over from earlier jobs."
                }
            }
            table class="dense" {
                thead { tr { th scope="col" { "Stage" } th scope="col" { "" } th scope="col" { "Computing" } th scope="col" { "On" } } }
                tbody {
                    @for (stage, seconds) in computed {
                        tr {
                            th scope="row" { (text::capital(&text::words(stage.as_str()))) " " span class="sub" { (does(stage)) } }
                            td class="wide" { (chart::part(seconds, longest)) }
                            td { (text::duration(seconds)) }
                            td { @for device in report.devices.get(stage.as_str()).into_iter().flatten() { (text::shown(device)) " " } }
                        }
                    }
                }
            }
        }
    }
}

fn does(stage: Stage) -> &'static str {
    match stage {
        Stage::Inspect => "looks at a model alone",
        Stage::Import => "reads the file and records what it computes",
        Stage::Prepare => "makes arrays of the data set",
        Stage::Graph => "finds the channels that go together, and what they cost",
        Stage::Latency => "times every layer",
        Stage::Importance => "orders the channels of every group",
        Stage::Calibration => "measures random configurations",
        Stage::Encoder => "trains the encoder of the search",
        Stage::Sensitivity => "measures what each group bears",
        Stage::Search => "looks through the configurations",
        Stage::Screen => "cuts, proves and repairs every candidate",
        Stage::Repair => "distils for a few steps",
        Stage::LightTune => "trains the better candidates for a few epochs",
        Stage::Tune => "trains the best",
        Stage::Control => "compares with channels chosen at random",
        Stage::Finalists => "writes the finalists for the judge",
        Stage::Judge => "waits for the judge’s scores",
        Stage::Export => "writes the result as TorchScript",
        Stage::Verify => "reloads it in a fresh process, compares and times it",
    }
}

pub(super) fn proved(report: &Report) -> Markup {
    let surgery = report.equivalence;
    html! {
        section {
            h2 { "What was proved" }
            ul {
                li {
                    "The cut changed nothing but what it removed. Before any training the pruned network was compared with the original whose \
                     removed inputs were set to zero: "
                    (within(surgery.max_abs_diff, surgery.tolerance)) "."
                }
                li {
                    "The file does what was measured. It was loaded in a fresh process and compared with the network in memory at batch "
                    @for (place, batch) in report.reload.batches.iter().enumerate() { @if place > 0 { " and " } (batch) }
                    ": " (within(report.reload.max_abs_diff, report.reload.tolerance)) "."
                }
                li {
                    "The original was understood. Its graph differs from the file’s own forward pass by at most "
                    (text::figure(report.import_max_abs_diff)) "."
                }
                @if let Some(export) = &report.export { li { (program(export)) } }
                @if let Some(sizes) = &report.sizes { li { (input_sizes(sizes)) } }
                @let sandbox = &report.sandbox;
                @if !sandbox.layers.is_empty() {
                    li {
                        "The uploaded program ran confined, by " (text::shown(&sandbox.layers.join(", ")))
                        @if !sandbox.missing.is_empty() { "; not in force were " (text::shown(&sandbox.missing.join(", "))) }
                        "."
                    }
                }
            }
            @if let Some(export) = &report.export && !export.edits.is_empty() { (edits(export)) }
        }
    }
}

fn within(found: f64, tolerance: f64) -> String {
    let (found, tolerance) = (text::figure(found), text::figure(tolerance));
    format!("the outputs differ by at most {found}, where {tolerance} are rounding")
}

fn program(export: &ExportReport) -> Markup {
    let called = export.methods.iter().filter(|method| method.called && method.problem.is_none()).count();
    html! {
        @match export.kind {
            ExportKind::Patched => {
                "The file is the user’s own program with smaller tensors: methods, attributes and extra files are what they were"
                @match export.edits.len() {
                    0 => " and no line of it had to change.",
                    1 => ", and one place of its source text was changed.",
                    count => { ", and " (count) " places of its source text were changed." }
                }
            }
            ExportKind::Recorded => {
                "The file is a recording of one run of the program"
                @if let Some(reason) = &export.reason { ", since " (text::shown(reason)) }
                "."
            }
        }
        @if called > 0 { " " (called) " methods beside forward were called and compared." }
        @for method in &export.methods {
            @if let Some(problem) = &method.problem { " The method " code { (text::shown(&method.name)) } " " (text::shown(problem)) "." }
        }
        @for lost in &export.lost { " " (text::shown(lost)) }
    }
}

fn input_sizes(sizes: &SizesReport) -> Markup {
    let shape = |shape: &[i64]| shape.iter().map(i64::to_string).collect::<Vec<_>>().join("×");
    html! {
        "It was compared with the original at "
        @for (place, size) in sizes.proved.iter().enumerate() {
            @if place > 0 { ", " }
            (size.shapes.iter().map(|of_input| shape(of_input)).collect::<Vec<_>>().join(" and "))
        }
        " (shapes of one sample, without the batch)."
    }
}

fn edits(export: &ExportReport) -> Markup {
    html! {
        details {
            summary { "Changes of the source text" }
            table class="dense" {
                thead { tr { th scope="col" { "Module" } th scope="col" { "Operator" } th scope="col" { "Before" } th scope="col" { "After" } } }
                tbody {
                    @for edit in export.edits.iter().take(MOST_EDITS) {
                        tr {
                            th scope="row" { code { (text::shown(&edit.module)) } }
                            @for cell in [&edit.operator, &edit.before, &edit.after] { td { code { (text::shown(cell)) } } }
                        }
                    }
                }
            }
            @if export.edits.len() > MOST_EDITS {
                p { (export.edits.len() - MOST_EDITS) " more are in " code { "report.json" } "." }
            }
        }
    }
}

pub(super) fn reproduce(report: &Report) -> Markup {
    let spec = serde_json::to_string_pretty(&report.spec).expect("a spec is JSON");
    let data = if report.data.is_some() { " --data DATA" } else { "" };
    html! {
        section {
            h2 { "How to do it again" }
            p {
                "The same file, data set, spec and seed (" (report.seed) ") give the same candidates; trained weights differ in their last digits \
                 between machines. Save the spec below as "
                code { "spec.json" } " and run:"
            }
            pre { code { "secateur prune MODEL.pt" (data) " --spec spec.json -o pruned.pt --report report.json" } }
            p {
                "The surgery alone can be redone from the original file and " code { "kept" } " in " code { "report.json" }
                ", the indices of the channels that every changed tensor kept. Versions: "
                @for (place, (name, version)) in report.versions.iter().enumerate() {
                    @if place > 0 { ", " }
                    (text::shown(name)) " " (text::shown(version))
                }
                "."
            }
            details {
                summary { "The spec as run, defaults filled in" }
                pre { code { (secateur_core::plain_text::lines(&spec)) } }
            }
        }
    }
}

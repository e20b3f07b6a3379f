//! What came out: both networks side by side, every candidate, the training, and the width of each layer.

use maud::{Markup, html};
use secateur_core::inspection::LayerWidth;
use secateur_core::recovery::{ChannelChoice, HeldOut, Measure};
use secateur_core::report::Report;
use secateur_core::statistics::RankCorrelation;

use super::{chart, text};

/// More layers than this are shown when the reader asks for them.
const OPEN_LAYERS: usize = 40;

pub(super) fn came_out(report: &Report) -> Markup {
    html! {
        section {
            h2 { "What came out" }
            (networks(report))
            p { (latency(report)) }
            h3 { "Networks that were tried" }
            p { (tried(report)) }
            (chart::candidates(report).unwrap_or_default())
            (rankings(report))
            @if let Some(curves) = chart::training(report) {
                h3 { "Training" }
                (curves)
            }
        }
    }
}

fn networks(report: &Report) -> Markup {
    let (base, pruned) = (&report.base, &report.pruned);
    let counts = [
        ("MACs of one sample", base.macs, pruned.macs, text::short as fn(f64) -> String),
        ("Parameters", base.params, pruned.params, text::short),
        ("File", base.bytes, pruned.bytes, |bytes| text::bytes(bytes as u64)),
    ];
    let metric = report.metric.as_ref();
    let metrics = metric.iter().map(|metric| (metric.name, metric.base, metric.pruned));
    let others =
        metric.into_iter().flat_map(|metric| &metric.others).map(|other| (other.name, other.base, other.pruned));
    let measured: Vec<(Measure, HeldOut, HeldOut)> = metrics.chain(others).collect();
    html! {
        table {
            thead { tr { th scope="col" { "" } th scope="col" { "Original" } th scope="col" { "Pruned" } th scope="col" { "Change" } } }
            tbody {
                @for (name, before, after, written) in counts {
                    tr {
                        th scope="row" { (name) }
                        td { (written(before as f64)) } td { strong { (written(after as f64)) } } td { (text::change(before as f64, after as f64)) }
                    }
                }
                @for (name, before, after) in [
                    ("Latency, median", base.latency_ms.p50, pruned.latency_ms.p50),
                    ("Latency, 95th percentile", base.latency_ms.p95, pruned.latency_ms.p95),
                ] {
                    tr {
                        th scope="row" { (name) }
                        td { (text::figure(before)) " ms" } td { strong { (text::figure(after)) " ms" } } td { (text::change(before, after)) }
                    }
                }
                @for (measure, before, after) in measured {
                    @for (split, before, after) in [("validation", before.val, after.val), ("test", before.test, after.test)] {
                        tr {
                            th scope="row" { (text::capital(&text::words(measure.as_str()))) ", " (split) }
                            td { (text::value(measure, before)) } td { strong { (text::value(measure, after)) } }
                            td { (text::difference(measure, before, after)) }
                        }
                    }
                }
            }
        }
    }
}

fn latency(report: &Report) -> Markup {
    let timed = &report.pruned.latency_ms;
    html! {
        "MACs are the multiply-accumulates of convolutions, linear layers and matrix products. Latency is the wall time of one forward pass \
         at batch " (timed.batch) " on " (text::shown(&timed.device)) " with " (timed.threads) " threads, both files in turns in one process, " (timed.runs) " runs each. "
        @if report.metric.is_some() {
            "Candidates were compared on the validation split; no decision saw the test split."
        }
        @if let Some(latency) = &report.latency {
            " The latency table of this job predicted " (text::percent(latency.predicted_reduction, 1)) " less latency."
        }
    }
}

fn tried(report: &Report) -> Markup {
    let count = report.candidates.len();
    html! {
        @if let Some(search) = &report.search {
            "The search scored " (text::short(search.candidates as f64)) " configurations of about 10" sup { (format!("{:.0}", search.log10_space)) }
            " that the limits allow, in " (text::duration(search.seconds))
            @if let Some(refinement) = &search.refinement { ", and " (text::short(refinement.candidates as f64)) " moves from the best of them" }
            ". "
        }
        (count) @if count == 1 { " network was proposed. " } @else { " networks were proposed, those of the classical methods among them. " }
        "The result was proposed by " strong { (text::origin(report.winner)) } "."
        @if let Some(judge) = &report.judge {
            " A judge outside scored " (judge.judgement.scores.len()) " finalists"
            @if let Some(name) = &judge.name { " by " (text::shown(name)) }
            "; the network was chosen by " (text::words(judge.judgement.decided_by.into())) "."
        }
    }
}

/// How well what was predicted of the candidates agrees with what was measured.
fn rankings(report: &Report) -> Markup {
    let found: Vec<(&str, RankCorrelation)> = [
        ("the encoder’s similarity", report.similarity_correlation),
        ("the predicted divergence", report.sensitivity_correlation),
        ("the fitted encoder", report.regression_correlation),
    ]
    .into_iter()
    .filter_map(|(name, found)| Some((name, found?)))
    .collect();
    html! {
        @if !found.is_empty() {
            p {
                "How well candidates were ranked before they were measured, as Spearman’s rank correlation with the metric after surgery \
                 (1 is the same order, 0 is chance): "
                @for (place, (name, RankCorrelation { rho, p_value, samples })) in found.iter().enumerate() {
                    @if place > 0 { "; " }
                    (name) " " (format!("{rho:.2}")) " (p " (format!("{p_value:.2}")) ", " (samples) " networks)"
                }
                "."
            }
        }
        @if let Some(choice) = &report.channel_choice { p { (channel_choice(choice)) } }
    }
}

fn channel_choice(choice: &ChannelChoice) -> Markup {
    let written = |value| text::value(choice.measure, value);
    html! {
        "As a control the same widths were cut with random channels, " (choice.random.n) " times: "
        (written(choice.random.mean)) " in the mean, beside "
        (written(choice.own)) " with the channels that this job chose and " (written(choice.l1)) " with those of largest L1 norm."
    }
}

pub(super) fn widths(report: &Report) -> Markup {
    let layers: Vec<&LayerWidth> = report.layers.iter().filter(|layer| layer.macs_before > 0).collect();
    let widest = layers.iter().map(|layer| layer.channels_before).max().unwrap_or(1) as f64;
    let cut = layers.iter().filter(|layer| layer.channels_after < layer.channels_before).count();
    html! {
        section {
            h2 { "Layer by layer" }
            p {
                (cut) " of the " (layers.len()) " layers that multiply lost output channels. Layers whose outputs are added lose the same channels \
                 together."
            }
            details open[layers.len() <= OPEN_LAYERS] {
                summary { "Widths of the layers" }
                table class="dense" {
                    thead { tr {
                        @for title in ["Layer", "Output channels", "", "MACs", "Change"] { th scope="col" { (title) } }
                    } }
                    tbody {
                        @for layer in layers {
                            @let (before, after) = (layer.channels_before, layer.channels_after);
                            tr {
                                th scope="row" {
                                    code { (text::shown(&layer.layer)) } " " span class="sub" { (text::words(&text::shown(&layer.kind))) }
                                }
                                td { @if before == after { (before) } @else { (before) " → " strong { (after) } } }
                                td class="wide" { (chart::left_of(before as f64, after as f64, widest)) }
                                td { (text::short(layer.macs_after as f64)) }
                                td { (text::change(layer.macs_before as f64, layer.macs_after as f64)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

//! `report.html`: the report of a job as one page that needs no other file, for people who were not there.
//!
//! The worker writes it, out of a [`Report`] that was read as one, and not the engine: an engine ran a stranger's program, and what is
//! served as a page must not be that program's. Every text of the report is escaped and stripped of invisible characters, and the page
//! forbids browsers to load or run anything.

mod behind;
mod chart;
mod outcome;
mod text;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use secateur_core::recovery::MetricReport;
use secateur_core::report::Report;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::id::JobId;

/// The artifact's name.
pub const REPORT_PAGE: &str = "report.html";

/// What browsers may do with the page, also where it is opened from a disk.
pub const CONTENT_SECURITY_POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

const STYLE: &str = include_str!("style.css");

/// What the report itself does not know.
#[derive(Debug, Clone)]
pub struct Origin {
    /// `None` for a job without a server.
    pub job: Option<JobId>,
    pub written_at: OffsetDateTime,
}

/// The page.
pub fn page(report: &Report, origin: &Origin) -> String {
    let name = report.spec.name.as_deref().map(text::shown);
    let title = name.as_deref().unwrap_or("A pruned network");
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta http-equiv="Content-Security-Policy" content=(CONTENT_SECURITY_POLICY);
                title { (title) " – pruning report" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    p class="kind" { "Pruning report" }
                    h1 { (title) }
                    p class="summary" { (summary(report)) }
                    (provenance(report, origin))
                }
                main {
                    (careful(report))
                    (behind::asked(report))
                    (outcome::came_out(report))
                    (outcome::widths(report))
                    (behind::cost(report))
                    (behind::proved(report))
                    (behind::reproduce(report))
                }
                footer {
                    "Written by Secateur " (text::shown(report.versions.get("secateur").map_or("", String::as_str)))
                    ". All figures, and the channels that were kept, are in "
                    code { "report.json" } "."
                }
            }
        }
    };
    page.into_string()
}

/// The result in two sentences.
fn summary(report: &Report) -> Markup {
    let (base, pruned) = (&report.base, &report.pruned);
    let removed = |before: u64, after: u64| text::percent(1.0 - after as f64 / before.max(1) as f64, 1);
    let latency = 1.0 - pruned.latency_ms.p50 / base.latency_ms.p50;
    html! {
        "Channels were cut out of a trained network: " strong { (removed(base.macs, pruned.macs)) } " of its multiply-accumulates and "
        (removed(base.params, pruned.params)) " of its parameters are gone, and one forward pass at batch " (pruned.latency_ms.batch) " takes "
        @if latency >= 0.0 { (text::percent(latency, 1)) " less time. " } @else { (text::percent(-latency, 1)) " more time. " }
        @match &report.metric {
            Some(MetricReport { name, base, pruned, .. }) => {
                "On the test split its " (text::words(name.as_str())) " went from " (text::value(*name, base.test)) " to "
                strong { (text::value(*name, pruned.test)) } "."
            }
            None => "How good it still is was not measured, since the job had no data set.",
        }
    }
}

fn provenance(report: &Report, origin: &Origin) -> Markup {
    let at = origin.written_at.replace_nanosecond(0).unwrap_or(origin.written_at).format(&Rfc3339).unwrap_or_default();
    html! {
        dl class="provenance" {
            @if let Some(job) = origin.job { div { dt { "Job" } dd { code { (job) } } } }
            div { dt { "Finished" } dd { time datetime=(at) { (at) } } }
            div { dt { "Original file" } dd { "SHA-256 " code { (text::shown(&report.model_sha256)) } } }
            @for (name, value) in &report.spec.labels {
                div { dt { (text::shown(name)) } dd { (text::shown(value)) } }
            }
        }
    }
}

/// What to be careful about; it comes first.
fn careful(report: &Report) -> Markup {
    html! {
        section {
            h2 { "What to be careful about" }
            @if report.warnings.is_empty() {
                p { "Nothing was found that a reader could otherwise miss." }
            } @else {
                ul class="warnings" { @for warning in &report.warnings { li { (text::shown(warning)) } } }
            }
        }
    }
}

#[cfg(test)]
mod tests;

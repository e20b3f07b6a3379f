//! What a job came to: its files, where the user wants them, and its report as a table.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use secateur_core::recovery::MetricReport;
use secateur_core::report::{ComputeReport, Report};

use tempfile::NamedTempFile;

use super::table::{Align, Table, grouped, percent};
use super::{CliError, Verdict};

/// A file that appears at its place whole or not at all.
#[derive(Debug)]
pub(super) struct WholeFile<'a> {
    to: &'a Path,
    partial: NamedTempFile,
}

impl<'a> WholeFile<'a> {
    pub(super) fn create(to: &'a Path) -> Result<Self, CliError> {
        let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let partial = tempfile::Builder::new().permissions(readable()).tempfile_in(folder);
        Ok(Self { to, partial: partial.map_err(|error| failed(to, &error))? })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        self.partial.write_all(bytes).map_err(|error| failed(self.to, &error))
    }

    pub(super) fn copy(&mut self, from: &Path) -> Result<(), CliError> {
        let copied = File::open(from).and_then(|mut from| io::copy(&mut from, &mut self.partial));
        copied.map(drop).map_err(|error| failed(self.to, &error))
    }

    pub(super) fn keep(self) -> Result<(), CliError> {
        self.partial.persist(self.to).map(drop).map_err(|error| failed(self.to, &error.error))
    }
}

fn failed(path: &Path, error: &io::Error) -> CliError {
    CliError::new(format!("{}: {error}", path.display()))
}

fn readable() -> std::fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o644)
}

pub(super) fn describe(report: &Report) -> String {
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

/// Whether the metric on the test split fell by no more points than are allowed.
pub(super) fn drop_verdict(report: &Report, max_drop: Option<f64>) -> Verdict {
    let (Some(most), Some(metric)) = (max_drop, &report.metric) else { return Verdict::Good };
    let fell = (metric.base.test - metric.pruned.test) * 100.0;
    if fell <= most {
        return Verdict::Good;
    }
    eprintln!("error: the test {} fell by {fell:.2} points, and {most} are allowed", metric.name.as_str());
    Verdict::MetricDropped
}

//! Progress of a local job: a bar on a terminal, plain lines elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use secateur_core::plain_text;
use secateur_core::stage::Stage;
use secateur_core::wire::Progress;

use crate::local::Observer;

const BETWEEN_LINES: Duration = Duration::from_secs(5);

/// Writes to stderr.
pub(super) enum Display {
    Bars { current: Option<ProgressBar>, stage_started: Instant, tasks: usize },
    Lines { last: Instant, stage_started: Instant, tasks: usize },
}

impl Display {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        if std::io::stderr().is_terminal() {
            Self::Bars { current: None, stage_started: now, tasks: 0 }
        } else {
            Self::Lines { last: now, stage_started: now, tasks: 0 }
        }
    }
}

impl Observer for Display {
    fn stage_begins(&mut self, stage: Stage, count: usize) {
        match self {
            Self::Bars { current, stage_started, tasks } => {
                (*stage_started, *tasks) = (Instant::now(), count);
                let style = ProgressStyle::with_template("{prefix:>8} {bar:30} {pos}/{len} {msg} {elapsed}");
                let bar = ProgressBar::new(count as u64);
                bar.set_style(style.expect("the template is well formed").progress_chars("=> "));
                bar.set_prefix(stage.as_str());
                bar.enable_steady_tick(Duration::from_millis(250));
                *current = Some(bar);
            }
            Self::Lines { last, stage_started, tasks } => {
                (*last, *stage_started, *tasks) = (Instant::now(), Instant::now(), count);
            }
        }
    }

    fn progress(&mut self, stage: Stage, index: usize, progress: &Progress) {
        let Progress { done, total, unit, note, .. } = progress;
        let unit = plain_text::line(unit);
        let note = note.as_deref().map(|note| format!(", {}", plain_text::line(note))).unwrap_or_default();
        match self {
            Self::Bars { current: Some(bar), tasks: 1, .. } => {
                bar.set_length(*total);
                bar.set_position(*done);
                bar.set_message(format!("{unit}{note}"));
            }
            Self::Bars { current: Some(bar), .. } => bar.set_message(format!("{done}/{total} {unit}{note}")),
            Self::Bars { current: None, .. } => {}
            Self::Lines { last, .. } => {
                if last.elapsed() >= BETWEEN_LINES {
                    *last = Instant::now();
                    eprintln!("{} {index}: {done}/{total} {unit}{note}", stage.as_str());
                }
            }
        }
    }

    fn task_ends(&mut self, stage: Stage, index: usize) {
        match self {
            Self::Bars { current, stage_started, tasks } => {
                let is_last = index + 1 == *tasks;
                if let Some(bar) = current.take_if(|_| is_last) {
                    bar.finish_and_clear();
                    eprintln!("{:>8} {:.1} s", stage.as_str(), stage_started.elapsed().as_secs_f64());
                } else if let Some(bar) = current {
                    bar.set_position(index as u64 + 1);
                }
            }
            Self::Lines { stage_started, tasks, .. } => {
                if index + 1 == *tasks {
                    eprintln!("{}: done, {:.1} s", stage.as_str(), stage_started.elapsed().as_secs_f64());
                }
            }
        }
    }
}

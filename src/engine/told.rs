//! What an engine tells while it works, until somebody passes it on.

use secateur_core::wire::{Progress, Reading};

/// Readings that may wait to be passed on; those that come after so many are lost. An engine that measures once a second makes fewer while
/// the database is away for a quarter of an hour.
const MOST_WAITING: usize = 1000;

/// Readings of an attempt in all: what an engine sends ends in the database.
const MOST_IN_ALL: usize = 20_000;

/// How far a task is, and what it has measured since somebody took that.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// The latest; `None` before the first.
    pub progress: Option<Progress>,
    /// In the order of their steps.
    pub readings: Vec<Reading>,
    /// How many have come, taken or not.
    heard: usize,
}

impl Told {
    pub(super) fn hear_progress(&mut self, progress: Progress) {
        self.progress = Some(progress.presentable());
    }

    pub(super) fn hear_reading(&mut self, reading: Reading) {
        if self.readings.len() < MOST_WAITING && self.heard < MOST_IN_ALL {
            self.heard += 1;
            self.readings.push(reading.presentable());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(step: u64, figure: f64) -> Reading {
        let figures = [("training_loss".to_owned(), figure)].into();
        Reading { unit: "epoch".to_owned(), step, candidate: None, figures }
    }

    #[test]
    fn every_reading_waits_until_it_is_taken() {
        let mut told = Told::default();
        for step in 1..=3 {
            told.hear_reading(reading(step, 0.5));
        }
        assert_eq!(told.readings.iter().map(|reading| reading.step).collect::<Vec<_>>(), [1, 2, 3]);
    }

    #[test]
    fn an_engine_cannot_make_the_worker_keep_what_it_likes() {
        let mut told = Told::default();
        for step in 0..2000 {
            told.hear_reading(reading(step, 0.5));
        }
        assert_eq!(told.readings.len(), MOST_WAITING);
        for step in 0..30_000 {
            told.readings.clear();
            told.hear_reading(reading(step, 0.5));
        }
        assert_eq!((told.heard, told.readings.len()), (MOST_IN_ALL, 0));

        let mut told = Told::default();
        let figures = (0..100).map(|number| (format!("{number:03}{}", "x".repeat(500)), 1.0)).collect();
        told.hear_reading(Reading { unit: "\u{1b}[2J".repeat(100), step: 1, candidate: None, figures });
        let reading = &told.readings[0];
        assert_eq!(reading.figures.len(), 8);
        assert!(reading.figures.keys().all(|name| name.chars().count() <= 61), "{reading:?}");
        assert!(!reading.unit.contains('\u{1b}') && reading.unit.chars().count() <= 61, "{reading:?}");
    }

    #[test]
    fn a_figure_that_json_cannot_write_is_left_out() {
        let mut told = Told::default();
        told.hear_reading(reading(1, f64::NAN));
        told.hear_reading(reading(2, f64::INFINITY));
        assert!(told.readings.iter().all(|reading| reading.figures.is_empty()));
        let written = serde_json::to_string(&told.readings).unwrap();
        assert_eq!(serde_json::from_str::<Vec<Reading>>(&written).unwrap(), told.readings);
    }
}

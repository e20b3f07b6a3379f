//! The engine's side of the frame pipe: progress, log lines and the one outcome.

use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use secateur_core::wire::{EngineMessage, Outcome, Progress, Reading, write_frame};

/// Progress is sent at most this often, except for the last of a count.
const INTERVAL: Duration = Duration::from_secs(1);

/// Writes frames to the worker. A worker that is gone is no error here: the watcher of standard input ends the process.
pub struct Messages {
    pipe: Mutex<Box<dyn Write + Send>>,
}

impl Messages {
    pub fn to(pipe: impl Write + Send + 'static) -> Self {
        Self { pipe: Mutex::new(Box::new(pipe)) }
    }

    /// Sends to nobody; for tests and for a stage that is run in-process.
    pub fn discard() -> Self {
        Self::to(std::io::sink())
    }

    pub fn log(&self, message: impl Into<String>) {
        self.send(&EngineMessage::Log { message: message.into() });
    }

    /// Announces a checkpoint that is written.
    pub fn checkpoint(&self, file: &str) {
        self.send(&EngineMessage::Checkpoint { file: file.to_owned() });
    }

    pub fn outcome(&self, outcome: Outcome) {
        self.send(&EngineMessage::Outcome(outcome));
    }

    /// Starts a count of `total` units.
    pub fn count(&self, total: u64, unit: &'static str) -> Counter<'_> {
        let now = Instant::now();
        let counter = Counter { messages: self, done: 0, total, unit, note: None, started: now, before: 0, sent: now };
        counter.send(None);
        counter
    }

    fn send(&self, message: &EngineMessage) {
        let mut pipe = self.pipe.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = write_frame(&mut *pipe, message);
    }
}

/// How far a loop is; tells the worker at most once a second.
pub struct Counter<'a> {
    messages: &'a Messages,
    done: u64,
    total: u64,
    unit: &'static str,
    note: Option<String>,
    started: Instant,
    /// Units that were done when it started.
    before: u64,
    sent: Instant,
}

impl Counter<'_> {
    pub fn advance(&mut self) {
        self.reach(self.done + 1);
    }

    /// Jumps to `done` units.
    pub fn reach(&mut self, done: u64) {
        self.done = done;
        if self.done == self.total || self.sent.elapsed() >= INTERVAL {
            self.send_now();
        }
    }

    /// There is more to do than was announced.
    pub fn grow(&mut self, total: u64) {
        self.total = self.total.max(total);
    }

    /// A text to show with the count from now on; sent at once.
    pub fn note(&mut self, note: impl Into<String>) {
        self.note = Some(note.into());
        self.send_now();
    }

    /// Tells what was measured, and shows it with the count from now on.
    pub fn tell(&mut self, reading: Reading) {
        let note = note_of(&reading);
        self.messages.send(&EngineMessage::Reading(reading));
        self.note(note);
    }

    /// Back to nothing done, when the work starts over.
    pub fn restart(&mut self) {
        self.resume(0);
    }

    /// Goes on after `done` units that somebody else has done.
    pub fn resume(&mut self, done: u64) {
        (self.done, self.before, self.started) = (done, done, Instant::now());
    }

    fn send_now(&mut self) {
        self.sent = Instant::now();
        let seconds = self.started.elapsed().as_secs_f64();
        let done = self.done.saturating_sub(self.before);
        self.send((seconds > 0.0 && done > 0).then(|| done as f64 / seconds));
    }

    fn send(&self, rate: Option<f64>) {
        self.messages.send(&EngineMessage::Progress(Progress {
            done: self.done,
            total: self.total,
            unit: self.unit.to_owned(),
            rate,
            note: self.note.clone(),
        }));
    }
}

/// `candidate 7, epoch 3: training loss 0.1204, validation accuracy 0.9944`.
fn note_of(reading: &Reading) -> String {
    let figures = reading.figures.iter().map(|(name, figure)| format!("{} {figure:.4}", name.replace('_', " ")));
    let candidate = reading.candidate.map(|candidate| format!("candidate {candidate}, ")).unwrap_or_default();
    format!("{candidate}{} {}: {}", reading.unit, reading.step, figures.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_says_what_was_measured_in_words() {
        let figures = [("validation_accuracy", 0.994_44), ("training_loss", 0.12)];
        let figures = figures.map(|(name, figure)| (name.to_owned(), figure)).into();
        let reading = Reading { unit: "epoch".to_owned(), step: 3, candidate: Some(7), figures };
        assert_eq!(note_of(&reading), "candidate 7, epoch 3: training loss 0.1200, validation accuracy 0.9944");
    }
}

//! A least rate, measured over the time in which we wait for the client, so that our own work never counts against it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// So many bytes at least within so much time of waiting.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    pub bytes: u64,
    pub within: Duration,
}

/// Holds one client to a pace.
#[derive(Debug)]
pub(super) struct Pacer {
    pace: Pace,
    waited: Duration,
    brought: u64,
    waiting_since: Option<Instant>,
    end: Pin<Box<Sleep>>,
}

impl Pacer {
    pub(super) fn new(pace: Pace) -> Self {
        let end = Box::pin(tokio::time::sleep(pace.within));
        Self { pace, waited: Duration::ZERO, brought: 0, waiting_since: None, end }
    }

    /// Something came.
    pub(super) fn bring(&mut self, bytes: usize) {
        self.brought += bytes as u64;
        if let Some(since) = self.waiting_since.take() {
            self.waited += since.elapsed();
        }
    }

    /// Nothing is there yet; ready when the client has been too slow.
    pub(super) fn poll_too_slow(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.waiting_since.is_none() {
                let now = Instant::now();
                self.waiting_since = Some(now);
                self.end.as_mut().reset(now + self.pace.within.saturating_sub(self.waited));
            }
            if self.end.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            if self.brought < self.pace.bytes {
                return Poll::Ready(());
            }
            (self.waited, self.brought, self.waiting_since) = (Duration::ZERO, 0, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace { bytes: 100, within: Duration::from_secs(10) };

    /// Brings so many bytes after every second of waiting; says after how many seconds that was too slow.
    async fn seconds_until_too_slow(bytes: usize, longest: u64) -> Option<u64> {
        let mut pacer = Pacer::new(PACE);
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(longest) {
            let second = tokio::time::sleep(Duration::from_secs(1));
            tokio::select! {
                biased;
                () = second => pacer.bring(bytes),
                () = std::future::poll_fn(|context| pacer.poll_too_slow(context)) => return Some(started.elapsed().as_secs()),
            }
        }
        None
    }

    #[tokio::test(start_paused = true)]
    async fn a_trickle_ends_with_the_first_window_and_a_steady_stream_goes_on() {
        assert_eq!(seconds_until_too_slow(1, 1000).await, Some(10));
        assert_eq!(seconds_until_too_slow(20, 1000).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_nobody_waits_does_not_count() {
        let mut pacer = Pacer::new(PACE);
        pacer.bring(1);
        tokio::time::sleep(Duration::from_secs(1000)).await;
        let started = Instant::now();
        std::future::poll_fn(|context| pacer.poll_too_slow(context)).await;
        assert_eq!(started.elapsed().as_secs(), 10);
    }
}

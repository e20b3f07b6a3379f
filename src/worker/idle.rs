//! How long a worker has had nothing to do, for one that is to end then.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What the slots of a worker do; they share it.
#[derive(Debug)]
pub(super) struct Idle(Mutex<Standing>);

#[derive(Debug, Clone, Copy)]
struct Standing {
    busy_slots: usize,
    /// When the last task ended, or the worker began.
    since: Instant,
}

/// A task that runs.
#[derive(Debug)]
pub(super) struct Busy<'a>(&'a Idle);

impl Idle {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Standing { busy_slots: 0, since: Instant::now() }))
    }

    /// A slot has a task until what this returns is dropped.
    pub(super) fn begin(&self) -> Busy<'_> {
        self.lock().busy_slots += 1;
        Busy(self)
    }

    /// Returns when no slot has had a task for so long.
    pub(super) async fn lasts(&self, long_enough: Duration) {
        loop {
            let Standing { busy_slots, since } = *self.lock();
            let left = match busy_slots {
                0 => long_enough.saturating_sub(since.elapsed()),
                _ => long_enough,
            };
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Standing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        let mut standing = self.0.lock();
        standing.busy_slots -= 1;
        standing.since = Instant::now();
    }
}

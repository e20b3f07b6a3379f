//! Blocks of work on several threads.

use std::ops::Range;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::ScopedJoinHandle;

/// Hands the blocks out to threads, each of which adds to something of its own; returns those.
pub(super) fn on_threads<T: Send>(
    threads: usize,
    blocks: Range<u64>,
    empty: impl Fn() -> T + Sync,
    work: impl Fn(u64, &mut T) + Sync,
) -> Vec<T> {
    let next = AtomicU64::new(blocks.start);
    let run = || {
        let mut own = empty();
        loop {
            let block = next.fetch_add(1, Ordering::Relaxed);
            if block >= blocks.end {
                return own;
            }
            work(block, &mut own);
        }
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(run)).collect();
        let own = |thread: ScopedJoinHandle<'_, T>| thread.join().unwrap_or_else(|panic| resume_unwind(panic));
        running.into_iter().map(own).collect()
    })
}

//! The walk with scores from a device that pays only in batches.
//!
//! The processor's threads draw the same blocks as [`walk::run`]; the device bounds the scores of a block at once. Whatever
//! may reach the ranking by its bound is scored from scratch on the processor, as in the plain search, so the result is the
//! same to the last bit: the device's rounding and order of sums decide nothing, and equal scores are ordered by their levels.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;

use super::ranking::Ranking;
use super::ranking::similarity::Scorer;
use super::space::{Band, Space};
use super::state::SearchState;
use super::top::Top;
use super::walk::{self, BLOCK, WalkPlan};

/// Where batches can be scored.
pub trait Accelerator {
    /// What can go wrong on the device.
    type Error;
    /// The tables of one search on the device.
    type Bounds: Bounds<Error = Self::Error>;

    /// As the report names it, `cuda:0`.
    fn name(&self) -> String;

    /// Loads a scorer's tables.
    ///
    /// # Errors
    /// The device's, such as too little memory.
    fn load(&self, scorer: &Scorer) -> Result<Self::Bounds, Self::Error>;
}

/// Bounds of many candidates' scores at once.
pub trait Bounds {
    /// What can go wrong on the device.
    type Error;

    /// For each candidate of `levels`, `[candidates, groups]`, a number that its score from scratch does not exceed.
    ///
    /// # Errors
    /// The device's.
    fn at_most(&self, levels: &[u8]) -> Result<Vec<f32>, Self::Error>;
}

/// As [`walk::run`], with a device that bounds `ranking`.
///
/// # Errors
/// The device's; the last state that `report` heard is still good.
#[expect(clippy::too_many_arguments, reason = "those of `walk::run` and the device")]
pub fn run<B: Bounds>(
    plan: &WalkPlan,
    space: &Space<'_>,
    band: Band,
    ranking: &impl Ranking,
    device: &B,
    progress: SearchState,
    blocks_per_report: u64,
    report: &mut (dyn FnMut(&SearchState) + Send),
) -> Result<SearchState, B::Error> {
    let blocks = plan.candidates.div_ceil(BLOCK);
    let threads = plan.threads.max(1);
    let mut fresh = ranking.state(&space.widest());
    let mut done = progress;
    while done.next < blocks {
        let end = (done.next + blocks_per_report.max(1)).min(blocks);
        let next = AtomicU64::new(done.next);
        let mut best = Top::new(plan.top, done.best);
        let mut scored = done.scored;
        std::thread::scope(|scope| {
            let (drawn, batches) = sync_channel::<Vec<u8>>(2 * threads);
            for _ in 0..threads {
                let (drawn, next) = (drawn.clone(), &next);
                scope.spawn(move || {
                    loop {
                        let block = next.fetch_add(1, Ordering::Relaxed);
                        // The receiver is gone when the device has failed.
                        if block >= end || drawn.send(levels_of(plan.seed, block, space, band)).is_err() {
                            break;
                        }
                    }
                });
            }
            drop(drawn);
            for levels in batches {
                let bounds = device.at_most(&levels)?;
                scored += bounds.len() as u64;
                for (levels, bound) in levels.chunks_exact(space.groups()).zip(bounds) {
                    if bound < best.threshold() {
                        continue;
                    }
                    ranking.reset(&mut fresh, levels);
                    best.offer(ranking.score(&fresh), levels);
                }
            }
            Ok(())
        })?;
        done = SearchState { next: end, scored, best: best.into_sorted(), refinement: None };
        report(&done);
    }
    Ok(done)
}

/// The candidates of a block, `[candidates, groups]`.
fn levels_of(seed: u64, block: u64, space: &Space<'_>, band: Band) -> Vec<u8> {
    let mut levels = Vec::with_capacity(BLOCK as usize * space.groups());
    walk::draw(seed, block, space, band, |drawn| match drawn {
        walk::Drawn::Start(point) | walk::Drawn::Next(point) => levels.extend_from_slice(point),
    });
    levels
}

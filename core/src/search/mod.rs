//! The search of SACP: millions of configurations scored exactly, the best kept.
//!
//! [`space`] turns limits into levels per group, [`encoder`] holds the trained GCN, [`score`] scores one candidate from its
//! levels alone, [`walk`] draws candidates inside the cost band, [`top`] keeps the best, and [`refine`] goes on from them by
//! evolutionary moves; [`device`] is the walk with a GPU. Three rankings order jobs' candidates: the encoder's
//! similarity, its prediction where it was fitted to the sample of [`calibration`], and the sum of [`additive`], which specs call
//! `calibrated`. [`calibrated`] is a fit of that sum that no job uses. [`run`] is the first phase: the
//! candidates are numbered blocks, each drawn from (seed, block number), so that any thread may take any block, an
//! interrupted search goes on with the next, and the result depends on neither. Memory does not grow with the
//! number of candidates.

pub mod additive;
pub mod calibrated;
pub mod calibration;
pub mod device;
pub mod encoder;
pub mod proposal;
pub mod refine;
pub mod score;
pub mod space;
pub mod top;
pub mod walk;

use std::ops::Range;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::ScopedJoinHandle;

use serde::{Deserialize, Serialize};

use space::{Band, Levels, Space};
use top::{Scored, Top};

/// Candidates of one block; a block is the unit of work and of resumption.
pub const BLOCK: u64 = 4096;

/// Scores candidates, from scratch and by difference. The higher the score, the better.
pub trait Ranking: Sync {
    /// A candidate's partial sums.
    type State: Clone;

    fn state(&self, levels: &[u8]) -> Self::State;

    /// Replaces a state's candidate; computed from scratch.
    fn reset(&self, state: &mut Self::State, levels: &[u8]);

    /// Moves one group to another level.
    fn shift(&self, state: &mut Self::State, group: usize, level: u8);

    /// Moves every group that differs to these levels.
    fn follow(&self, state: &mut Self::State, levels: &[u8]) {
        for (group, &level) in levels.iter().enumerate() {
            if self.levels(state)[group] != level {
                self.shift(state, group, level);
            }
        }
    }

    fn score(&self, state: &Self::State) -> f32;

    /// How far the score of a state that was shifted may lie from the score from scratch.
    fn slack(&self, state: &Self::State) -> f32;

    fn levels<'a>(&self, state: &'a Self::State) -> &'a [u8];
}

/// What to search.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub seed: u64,
    /// Candidates to score, rounded up to whole blocks.
    pub candidates: u64,
    /// The best to keep.
    pub top: usize,
    pub threads: usize,
}

/// An unfinished search: blocks before `next` are done.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Progress {
    pub next: u64,
    /// Candidates of those blocks that were scored; a draw that misses the band is none.
    #[serde(default)]
    pub scored: u64,
    pub best: Vec<Scored>,
    /// `None` until the walk is over and [`refine`] has begun.
    #[serde(default)]
    pub refinement: Option<Refinement>,
}

impl Progress {
    /// Whether every point is one of the space; what was read from a file may be anything.
    pub fn fits(&self, space: &Space<'_>) -> bool {
        let fits = |levels: &Levels| {
            levels.len() == space.groups()
                && levels.iter().enumerate().all(|(group, &level)| usize::from(level) < space.widths(group).len())
        };
        self.best.iter().all(|scored| fits(&scored.levels))
    }
}

/// How far [`refine`] is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Refinement {
    /// Generations that are done.
    pub generations: u64,
    /// The walk's best score.
    pub score_before: f32,
}

/// Scores the plan's candidates from where `progress` stands; `best` of what it returns has the highest score first.
///
/// `report` is called about every `blocks_per_report` blocks with a state from which the search can be resumed.
pub fn run(
    plan: &Plan,
    space: &Space<'_>,
    band: Band,
    ranking: &impl Ranking,
    progress: Progress,
    blocks_per_report: u64,
    report: &mut (dyn FnMut(&Progress) + Send),
) -> Progress {
    let blocks = plan.candidates.div_ceil(BLOCK);
    let mut done = progress;
    while done.next < blocks {
        let end = (done.next + blocks_per_report.max(1)).min(blocks);
        let mut best = Top::new(plan.top, done.best);
        let mut scored = done.scored;
        let empty = || (Top::new(plan.top, Vec::new()), 0);
        let walk = |block, (own, scored): &mut (Top, u64)| {
            *scored += walk::block(plan.seed, block, space, band, ranking, own);
        };
        for (own, of_thread) in on_threads(plan.threads, done.next..end, empty, walk) {
            best.merge(own);
            scored += of_thread;
        }
        done = Progress { next: end, scored, best: best.into_sorted(), refinement: None };
        report(&done);
    }
    done
}

/// Hands the blocks out to threads, each of which adds to something of its own; returns those.
fn on_threads<T: Send>(
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

#[cfg(test)]
mod tests;

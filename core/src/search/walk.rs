//! Drawing candidates inside the cost band, a block at a time.
//!
//! A block is a number of short walks. Each starts at a fresh random point of the band, scored from scratch, and goes on by
//! moves that leave and re-enter the band: one random group moves by one level, then single steps of other groups
//! bring the cost back. Neighbours on a walk differ in a few groups, so costs and scores are kept by difference. Walks are
//! short so that draws stay spread over the space and rounding cannot build up.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::ranking::Ranking;
use super::space::{Band, Space};
use super::state::SearchState;
use super::threads::on_threads;
use super::top::Top;

/// Candidates on one walk, the start included.
pub const WALK: u64 = 32;

/// A candidate of a block.
#[derive(Debug, Clone, Copy)]
pub enum Drawn<'a> {
    /// A fresh random point.
    Start(&'a [u8]),
    /// A few groups away from the one before.
    Next(&'a [u8]),
}

/// Draws the candidates of one block. Every candidate is inside the band and the limits.
pub fn draw(seed: u64, block: u64, space: &Space<'_>, band: Band, mut visit: impl FnMut(Drawn<'_>)) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(block);
    for _ in 0..BLOCK / WALK {
        let Some(mut point) = space.draw(band, &mut random) else { continue };
        visit(Drawn::Start(&point.levels));
        for _ in 1..WALK {
            let group = random.random_range(0..space.groups());
            let level = step(point.levels[group], space.widths(group).len(), random.random());
            space.shift(&mut point, group, level);
            if !space.enter(&mut point, band, &mut random) {
                break;
            }
            visit(Drawn::Next(&point.levels));
        }
    }
}

/// What enters the ranking is scored from scratch, so that a point has one score whichever way a walk came to it.
fn offer<R: Ranking>(top: &mut Top, ranking: &R, state: &R::State, fresh: &mut R::State) {
    let (score, threshold) = (ranking.score(state), top.threshold());
    if score >= threshold || score + ranking.slack(state) >= threshold {
        ranking.reset(fresh, ranking.levels(state));
        top.offer(ranking.score(fresh), ranking.levels(state));
    }
}

/// One level up or down, whichever there is.
fn step(level: u8, levels: usize, up: bool) -> u8 {
    match (level, up) {
        (level, true) if usize::from(level) + 1 < levels => level + 1,
        (0, _) => u8::from(levels > 1),
        (level, _) => level - 1,
    }
}

/// Candidates of one block; a block is the unit of work and of resumption.
pub const BLOCK: u64 = 4096;

/// What to search.
#[derive(Debug, Clone, Copy)]
pub struct WalkPlan {
    /// Seed of the random candidates.
    pub seed: u64,
    /// Candidates to score, rounded up to whole blocks.
    pub candidates: u64,
    /// The best to keep.
    pub top: usize,
    /// Compute threads.
    pub threads: usize,
}

/// Scores the plan's candidates from where `progress` stands; `best` of what it returns has the highest score first.
///
/// `report` is called about every `blocks_per_report` blocks with a state from which the search can be resumed.
pub fn run(
    plan: &WalkPlan,
    space: &Space<'_>,
    band: Band,
    ranking: &impl Ranking,
    progress: SearchState,
    blocks_per_report: u64,
    report: &mut (dyn FnMut(&SearchState) + Send),
) -> SearchState {
    let blocks = plan.candidates.div_ceil(BLOCK);
    let mut done = progress;
    while done.next < blocks {
        let end = (done.next + blocks_per_report.max(1)).min(blocks);
        let mut best = Top::new(plan.top, done.best);
        let mut scored = done.scored;
        let empty = || (Top::new(plan.top, Vec::new()), 0);
        let walk = |block, (own, scored): &mut (Top, u64)| {
            *scored += self::block(plan.seed, block, space, band, ranking, own);
        };
        for (own, of_thread) in on_threads(plan.threads, done.next..end, empty, walk) {
            best.merge(own);
            scored += of_thread;
        }
        done = SearchState { next: end, scored, best: best.into_sorted(), refinement: None };
        report(&done);
    }
    done
}

/// Scores the candidates of one block and offers them to `top`; returns how many there were.
pub fn block<R: Ranking>(seed: u64, block: u64, space: &Space<'_>, band: Band, ranking: &R, top: &mut Top) -> u64 {
    let mut scored = 0;
    let mut state = ranking.state(&space.widest());
    let mut fresh = state.clone();
    draw(seed, block, space, band, |drawn| {
        match drawn {
            Drawn::Start(levels) => ranking.reset(&mut state, levels),
            Drawn::Next(levels) => ranking.follow(&mut state, levels),
        }
        offer(top, ranking, &state, &mut fresh);
        scored += 1;
    });
    scored
}

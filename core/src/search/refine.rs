//! The second phase of a search: evolutionary moves from the best of the walk.
//!
//! A generation is a number of blocks of children. Every block draws its parents from the population as it stood when the
//! generation began, the better the more often, and from (seed, block number) alone, so that threads do not change the
//! result and an interrupted refinement goes on with the next generation. A child is a mutation of one or two groups, an
//! exchange of width between two groups, or a crossover of two parents; each then re-enters the cost band. Children of one
//! parent come in a litter, so that scores and costs are kept by difference.
//!
//! The next population is the best of parents and children together that are pairwise at least `distance` apart, chosen
//! greedily from the best on. So the best never gets worse, and whatever leaves had a better one beside it or as many better
//! ones as the population holds.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::ranking::Ranking;
use super::space::{Band, Levels, Point, Space};
use super::state::{Refinement, SearchState};
use super::threads::on_threads;
use super::top::{Scored, diverse};

/// Children of one block.
const BLOCK: u64 = 512;

/// Blocks of one generation.
const BLOCKS: u64 = 8;

/// Children of one generation; the unit of resumption.
pub const GENERATION: u64 = BLOCK * BLOCKS;

/// Children in a row of one parent.
const LITTER: u64 = 16;

/// Partners that are tried for an exchange before single steps bring the cost back.
const PARTNERS: usize = 8;

/// How to refine.
#[derive(Debug, Clone, Copy)]
pub struct RefinementPlan {
    /// Seed of the random moves.
    pub seed: u64,
    /// Children to try, rounded up to whole generations.
    pub candidates: u64,
    /// Members of the population at most.
    pub population: usize,
    /// The least sum of level differences between two members.
    pub distance: u32,
    /// Compute threads.
    pub threads: usize,
}

/// Refines the best of a finished walk from where `progress` stands; its `best` becomes the population, the highest score
/// first. `report` hears every generation with a state from which the refinement can be resumed.
pub fn run(
    plan: &RefinementPlan,
    space: &Space<'_>,
    band: Band,
    ranking: &impl Ranking,
    mut progress: SearchState,
    report: &mut (dyn FnMut(&SearchState) + Send),
) -> SearchState {
    let Some(best) = progress.best.first().map(|best| best.score) else { return progress };
    let Refinement { generations, score_before } = match progress.refinement {
        Some(started) => started,
        None => {
            progress.best = diverse(&progress.best, plan.population, plan.distance);
            Refinement { generations: 0, score_before: best }
        }
    };
    for generation in generations..plan.candidates.div_ceil(GENERATION) {
        let parents = Generation { plan, population: &progress.best, space, band, ranking };
        let mut all = parents.children(generation);
        all.append(&mut progress.best);
        all.sort_unstable();
        all.dedup();
        progress.best = diverse(&all, plan.population, plan.distance);
        progress.refinement = Some(Refinement { generations: generation + 1, score_before });
        report(&progress);
    }
    progress
}

/// What the children of one generation come from.
struct Generation<'a, R> {
    plan: &'a RefinementPlan,
    population: &'a [Scored],
    space: &'a Space<'a>,
    band: Band,
    ranking: &'a R,
}

impl<R: Ranking> Generation<'_, R> {
    /// The children of the generation of this number that are no worse than the population's worst, in any order.
    fn children(&self, number: u64) -> Vec<Scored> {
        let threads = self.plan.threads.min(BLOCKS as usize);
        let blocks = number * BLOCKS..(number + 1) * BLOCKS;
        on_threads(threads, blocks, Vec::new, |block, born| self.block(block, born)).concat()
    }

    fn block(&self, block: u64, born: &mut Vec<Scored>) {
        let &Self { plan, population, space, band, ranking } = self;
        let mut random = ChaCha8Rng::seed_from_u64(plan.seed);
        // The walk has the streams from 0 up.
        random.set_stream(!block);
        let threshold = match population.last() {
            Some(worst) if population.len() == plan.population => worst.score,
            _ => f32::NEG_INFINITY,
        };
        let mut state = ranking.state(&population[0].levels);
        let mut fresh = state.clone();
        for _ in 0..BLOCK / LITTER {
            let parent = pick(population, &mut random);
            let mut point = space.point(parent.clone());
            ranking.reset(&mut state, parent);
            for _ in 0..LITTER {
                space.follow(&mut point, parent);
                match random.random_range(0..4) {
                    0 => mutate(space, &mut point, &mut random),
                    1 => cross(space, &mut point, pick(population, &mut random), &mut random),
                    _ => exchange(space, &mut point, band, &mut random),
                }
                if !space.enter(&mut point, band, &mut random) || point.levels == *parent {
                    continue;
                }
                ranking.follow(&mut state, &point.levels);
                if ranking.score(&state) + ranking.slack(&state) < threshold {
                    continue;
                }
                ranking.reset(&mut fresh, &point.levels);
                let score = ranking.score(&fresh);
                if score >= threshold {
                    born.push(Scored { score, levels: point.levels.clone() });
                }
            }
        }
    }
}

/// A member, the better of two draws.
fn pick<'a>(population: &'a [Scored], random: &mut ChaCha8Rng) -> &'a Levels {
    let rank = random.random_range(0..population.len()).min(random.random_range(0..population.len()));
    &population[rank].levels
}

/// One or two groups to any other level.
fn mutate(space: &Space<'_>, point: &mut Point, random: &mut ChaCha8Rng) {
    for _ in 0..random.random_range(1..=2) {
        let group = random.random_range(0..space.groups());
        let level = random.random_range(0..space.widths(group).len()) as u8;
        space.shift(point, group, level);
    }
}

/// Each group's level from either parent.
fn cross(space: &Space<'_>, point: &mut Point, other: &[u8], random: &mut ChaCha8Rng) {
    for (group, &level) in other.iter().enumerate() {
        if random.random() && point.levels[group] != level {
            space.shift(point, group, level);
        }
    }
}

/// One group a level narrower, another a level wider; a partner that keeps the cost in the band is looked for first.
fn exchange(space: &Space<'_>, point: &mut Point, band: Band, random: &mut ChaCha8Rng) {
    let narrower = random.random_range(0..space.groups());
    let Some(level) = point.levels[narrower].checked_sub(1) else { return mutate(space, point, random) };
    space.shift(point, narrower, level);
    for _ in 0..PARTNERS {
        let wider = random.random_range(0..space.groups());
        let level = point.levels[wider];
        if wider == narrower || usize::from(level) + 1 == space.widths(wider).len() {
            continue;
        }
        space.shift(point, wider, level + 1);
        if band.holds(space.reduction(point)) {
            return;
        }
        space.shift(point, wider, level);
    }
}

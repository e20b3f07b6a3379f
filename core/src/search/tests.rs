use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::encoder::{Encoder, Head, features, normalised_adjacency};
use super::ranking::similarity::Scorer;
use super::ranking::{Ranking, regression};
use super::space::{Band, Space};
use super::top::{Scored, Top};
use super::walk::{BLOCK, WalkPlan, run};
use super::*;
use crate::configuration::{Constraints, Limits};
use crate::cost::{CostModel, Metric};
use crate::graph::Graph;
use crate::group::Grouping;
use crate::search::layer::LayerGraph;
use crate::testing::Net;

fn random_encoder(layers: &LayerGraph, hidden: usize, seed: u64) -> Encoder {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut draw = |count: usize| (0..count).map(|_| random.random::<f32>() - 0.5).collect();
    Encoder { hidden, w1: draw(layers.max_channels() * hidden), w2: draw(hidden * hidden), head: None }
}

struct Setting {
    graph: Graph,
    grouping: Grouping,
    costs: CostModel,
    limits: Limits,
}

impl Setting {
    fn new(steps: &[(u8, u8)]) -> Self {
        let graph = Net::random(steps).graph();
        let grouping = Grouping::of(&graph);
        let costs = CostModel::of(&graph, &grouping);
        let limits = Limits::new(&graph, &grouping, &Constraints::default()).unwrap();
        Self { graph, grouping, costs, limits }
    }

    fn space(&self, rate_step: f64) -> Space<'_> {
        Space::new(&self.costs, &self.limits, Metric::Flops, rate_step)
    }

    fn layers(&self) -> LayerGraph {
        LayerGraph::of(&self.graph, &self.grouping)
    }
}

/// The cosine by the plain dense encoder.
fn dense_similarity(layers: &LayerGraph, encoder: &Encoder, space: &Space<'_>, levels: &[u8]) -> f32 {
    let adjacency = normalised_adjacency(layers);
    let anchor = encoder.embed(&adjacency, &features(layers, space.costs().full_widths()));
    let candidate = encoder.embed(&adjacency, &features(layers, &space.kept(levels)));
    anchor.iter().zip(&candidate).map(|(a, b)| a * b).sum()
}

proptest! {
    #[test]
    fn fast_scoring_equals_the_dense_encoder(
        steps in prop::collection::vec((any::<u8>(), any::<u8>()), 0..6),
        hidden in 1usize..20,
        seed in any::<u64>(),
        moves in prop::collection::vec((any::<usize>(), any::<usize>()), 0..40),
    ) {
        let setting = Setting::new(&steps);
        let (space, layers) = (setting.space(0.1), setting.layers());
        let encoder = random_encoder(&layers, hidden, seed);
        let scorer = Scorer::new(&layers, &space, &encoder);
        // A random encoder may map everything to zero, which has no direction.
        let like_itself = dense_similarity(&layers, &encoder, &space, &space.widest());
        prop_assume!(like_itself > 0.9);
        let mut point = space.point(space.widest());
        let mut state = scorer.state(&point.levels);
        // Scores are quadratic forms of W2'W2, and the dense encoder multiplies by W2: where W2 cancels they part by rounding, which is
        // what the slack bounds.
        let off = (scorer.score(&state) - like_itself).abs();
        prop_assert!(off <= scorer.slack(&state).max(1e-5), "the unpruned network is like itself: {off}");
        for (group, level) in moves {
            let group = group % space.groups();
            let level = (level % space.widths(group).len()) as u8;
            space.shift(&mut point, group, level);
            scorer.shift(&mut state, group, level);
        }
        let dense = dense_similarity(&layers, &encoder, &space, &point.levels);
        let by_difference = scorer.score(&state);
        // By difference is a filter: what passes is scored from scratch. It may be off by its slack, and no more.
        let slack = scorer.slack(&state).max(1e-5);
        prop_assert!((by_difference - dense).abs() <= slack, "by difference {by_difference} dense {dense} slack {slack}");
        let fresh = scorer.state(&point.levels);
        let (score, slack) = (scorer.score(&fresh), scorer.slack(&fresh).max(1e-5));
        prop_assert!((score - dense).abs() <= slack, "from scratch {score} dense {dense} slack {slack}");
    }

    #[test]
    fn costs_by_difference_equal_recounting(
        steps in prop::collection::vec((any::<u8>(), any::<u8>()), 0..6),
        moves in prop::collection::vec((any::<usize>(), any::<usize>()), 1..60),
    ) {
        let setting = Setting::new(&steps);
        for metric in Metric::COUNTED {
            let space = Space::new(&setting.costs, &setting.limits, metric, 0.07);
            let mut point = space.point(space.widest());
            for &(group, level) in &moves {
                let group = group % space.groups();
                space.shift(&mut point, group, (level % space.widths(group).len()) as u8);
            }
            let recount = setting.costs.at(&space.kept(&point.levels));
            let expected = match metric {
                Metric::Flops => recount.macs,
                Metric::Params => recount.params,
                Metric::Channels => recount.channels,
                Metric::Latency => unreachable!("it is not counted"),
            };
            prop_assert_eq!(point.cost().round() as u64, expected);
        }
    }

    #[test]
    fn every_draw_is_inside_the_band_and_the_limits(
        steps in prop::collection::vec((any::<u8>(), any::<u8>()), 1..6),
        low in 0.2f64..0.8,
        seed in any::<u64>(),
    ) {
        let setting = Setting::new(&steps);
        let space = setting.space(0.1);
        let band = Band { low, high: low + 0.05 };
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        for _ in 0..20 {
            let Some(point) = space.draw(band, &mut random) else { continue };
            let kept = space.kept(&point.levels);
            let macs = setting.costs.at(&kept).macs as f64;
            let reduction = 1.0 - macs / setting.costs.full().macs as f64;
            prop_assert!((low - 1e-9..=low + 0.05 + 1e-9).contains(&reduction), "{reduction}");
            for (group, width) in kept.iter().enumerate() {
                prop_assert!(setting.limits.allowed(group).contains(width));
            }
        }
    }
}

mod refine;

/// A setting whose space has only a few hundred points.
fn small() -> Setting {
    Setting::new(&[(0, 1), (1, 2)])
}

fn all_points(space: &Space<'_>) -> Vec<Vec<u8>> {
    (0..space.groups()).fold(vec![Vec::new()], |shorter, group| {
        let levels = 0..space.widths(group).len() as u8;
        shorter
            .iter()
            .flat_map(|point| levels.clone().map(move |level| [point.as_slice(), &[level]].concat()))
            .collect()
    })
}

#[test]
fn the_top_of_a_small_space_is_exactly_right() {
    let setting = small();
    let (space, layers) = (setting.space(0.25), setting.layers());
    let scorer = Scorer::new(&layers, &space, &random_encoder(&layers, 16, 7));
    let band = Band { low: 0.4, high: 0.7 };

    let all = all_points(&space);
    let mut expected = Top::new(10, Vec::new());
    for levels in &all {
        let reduction = space.reduction(&space.point(levels.clone()));
        if (band.low..=band.high).contains(&reduction) {
            expected.offer(scorer.score(&scorer.state(levels)), levels);
        }
    }
    let expected: Vec<Vec<u8>> = expected.into_sorted().into_iter().map(|scored| scored.levels).collect();
    assert_eq!(expected.len(), 10, "the band holds at least ten of the {} points", all.len());

    let plan = WalkPlan { seed: 3, candidates: 200_000, top: 10, threads: 2 };
    let found = run(&plan, &space, band, &scorer, SearchState::default(), 100, &mut |_| {});
    let found: Vec<Vec<u8>> = found.best.into_iter().map(|scored| scored.levels).collect();
    assert_eq!(found, expected);
}

#[test]
fn the_ranking_depends_on_the_seed_alone() {
    let setting = Setting::new(&[(0, 4), (1, 4), (2, 3), (1, 2), (3, 0)]);
    let (space, layers) = (setting.space(0.1), setting.layers());
    let scorer = Scorer::new(&layers, &space, &random_encoder(&layers, 64, 1));
    let band = Band { low: 0.5, high: 0.51 };
    let ranking = |seed, blocks, threads| {
        let plan = WalkPlan { seed, candidates: blocks * BLOCK, top: 50, threads };
        run(&plan, &space, band, &scorer, SearchState::default(), 7, &mut |_| {}).best
    };
    assert_eq!(ranking(1, 40, 1), ranking(1, 40, 3));
    // Two thousand draws see less than the whole band.
    let short = |seed| ranking(seed, 1, 1);
    assert_ne!(short(1), short(2));
}

#[test]
fn only_candidates_that_were_in_the_band_count_as_scored() {
    let setting = Setting::new(&[(0, 4), (1, 4), (2, 3)]);
    let (space, layers) = (setting.space(0.1), setting.layers());
    let scorer = Scorer::new(&layers, &space, &random_encoder(&layers, 24, 1));
    let plan = WalkPlan { seed: 5, candidates: 3 * BLOCK, top: 30, threads: 2 };
    let scored = |band| run(&plan, &space, band, &scorer, SearchState::default(), 2, &mut |_| {}).scored;
    let visited = |band| {
        let mut count = 0;
        (0..3).for_each(|block| walk::draw(plan.seed, block, &space, band, |_| count += 1));
        count
    };
    let (wide, unreachable) = (Band { low: 0.6, high: 0.62 }, Band { low: 0.999, high: 0.9999 });
    assert_eq!(scored(wide), visited(wide));
    assert!(scored(wide) > 0);
    assert_eq!(scored(unreachable), 0);
}

#[test]
fn a_search_that_was_interrupted_ends_like_one_that_was_not() {
    let setting = Setting::new(&[(0, 4), (1, 4), (2, 3)]);
    let (space, layers) = (setting.space(0.1), setting.layers());
    let scorer = Scorer::new(&layers, &space, &random_encoder(&layers, 24, 1));
    let band = Band { low: 0.6, high: 0.62 };
    let plan = WalkPlan { seed: 5, candidates: 20 * BLOCK, top: 30, threads: 2 };
    let mut states = Vec::new();
    let whole = run(&plan, &space, band, &scorer, SearchState::default(), 6, &mut |state| states.push(state.clone()));
    let saved = serde_json::to_string(&states[1]).unwrap();
    let resumed = run(&plan, &space, band, &scorer, serde_json::from_str(&saved).unwrap(), 6, &mut |_| {});
    assert_eq!(resumed, whole);
}

proptest! {
    #[test]
    fn fast_prediction_equals_the_dense_encoder_with_its_head(
        steps in prop::collection::vec((any::<u8>(), any::<u8>()), 0..6),
        hidden in 1usize..20,
        seed in any::<u64>(),
        moves in prop::collection::vec((any::<usize>(), any::<usize>()), 0..40),
    ) {
        let setting = Setting::new(&steps);
        let (space, layers) = (setting.space(0.1), setting.layers());
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let weights = (0..hidden).map(|_| random.random::<f32>() - 0.5).collect();
        let head = Some(Head { weights, bias: random.random() });
        let encoder = Encoder { head, ..random_encoder(&layers, hidden, seed) };
        let scorer = Scorer::new(&layers, &space, &encoder);
        let mut state = scorer.state(&space.widest());
        for (group, level) in moves {
            let group = group % space.groups();
            scorer.shift(&mut state, group, (level % space.widths(group).len()) as u8);
        }
        let kept = space.kept(scorer.levels(&state));
        let dense = encoder.predict(&normalised_adjacency(&layers), &features(&layers, &kept)).unwrap();
        let (by_difference, slack) = (scorer.score(&state), scorer.slack(&state));
        prop_assert!((by_difference - dense).abs() <= slack, "by difference {by_difference} dense {dense} slack {slack}");
        let fresh = scorer.score(&scorer.state(scorer.levels(&state)));
        let size = 1e-5 * dense.abs().max(1.0);
        prop_assert!((fresh - dense).abs() <= size.max(slack), "from scratch {fresh} dense {dense}");
    }
}

#[test]
fn a_calibration_sample_is_drawn_by_number_inside_the_limits_and_half_of_it_in_the_target_band() {
    let setting = Setting::new(&[(0, 4), (1, 4), (2, 3), (1, 2)]);
    let space = setting.space(0.1);
    let band = Band { low: 0.7, high: 0.71 };
    let sample: Vec<_> = (0..60).map(|index| regression::draw(&space, band, 3, index).unwrap()).collect();
    assert_eq!(regression::draw(&space, band, 3, 17).unwrap(), sample[17]);
    assert_ne!(regression::draw(&space, band, 4, 17).unwrap(), sample[17]);
    let reductions: Vec<f64> = sample.iter().map(|levels| space.reduction(&space.point(levels.clone()))).collect();
    assert!(reductions.iter().step_by(2).all(|&reduction| band.holds(reduction)));
    let elsewhere: Vec<f64> = reductions.into_iter().skip(1).step_by(2).collect();
    assert!(elsewhere.iter().any(|&reduction| reduction < 0.3) && elsewhere.iter().any(|&reduction| reduction > 0.75));
}

#[test]
fn a_diverse_choice_keeps_its_distance_and_starts_at_the_best() {
    let scored = |score, levels: &[u8]| Scored { score, levels: levels.to_vec() };
    let ranking = [scored(0.9, &[3, 3]), scored(0.8, &[3, 4]), scored(0.7, &[5, 3]), scored(0.6, &[5, 5])];
    let chosen = top::diverse(&ranking, 3, 2);
    assert_eq!(chosen.iter().map(|scored| scored.score).collect::<Vec<_>>(), [0.9, 0.7, 0.6]);
}

#[test]
fn the_sum_of_sensitivities_finds_the_least_sum_that_the_band_allows() {
    use super::ranking::sensitivity::{Sensitivity, SensitivitySum};
    let setting = small();
    let space = setting.space(0.25);
    let mut measured = Vec::new();
    for group in 0..space.groups() {
        let full = *space.widths(group).last().unwrap();
        for (share, divergence) in [(0.5, 0.1 * (group + 1) as f64), (0.25, 0.3 * (group + 1) as f64)] {
            measured.push(Sensitivity { group, width: (full as f64 * share) as usize, divergence });
        }
    }
    let ranking = SensitivitySum::interpolate(&space, &measured);
    for group in 0..space.groups() {
        let top_level = space.widths(group).len() as u8 - 1;
        assert_eq!(ranking.penalty(group, top_level), 0.0, "nothing cut costs nothing");
        assert!((0..top_level).all(|level| ranking.penalty(group, level) >= ranking.penalty(group, level + 1)));
    }
    let band = Band { low: 0.5, high: 0.7 };
    let plan = WalkPlan { seed: 3, candidates: 50_000, top: 1, threads: 2 };
    let best = run(&plan, &space, band, &ranking, SearchState::default(), 100, &mut |_| {}).best.remove(0);
    let mut random = ChaCha8Rng::seed_from_u64(9);
    for _ in 0..2_000 {
        let Some(point) = space.draw(band, &mut random) else { continue };
        assert!(ranking.distortion(&point.levels) >= ranking.distortion(&best.levels) - 1e-6);
    }
}

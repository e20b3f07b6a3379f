use super::*;
use crate::search::ranking::sensitivity::{Sensitivity, SensitivitySum};
use crate::search::refine::{self, GENERATION};

/// Random sensitivities that rise as a group gets narrower.
fn random_additive(space: &Space<'_>, seed: u64) -> SensitivitySum {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut measured = Vec::new();
    for group in 0..space.groups() {
        let full = *space.widths(group).last().unwrap();
        let weight: f64 = random.random();
        for rate in [0.25, 0.5, 0.9] {
            let width = ((1.0 - rate) * full as f64).round() as usize;
            measured.push(Sensitivity { group, width, divergence: weight * rate * (1.0 + random.random::<f64>()) });
        }
    }
    SensitivitySum::interpolate(space, &measured)
}

fn walked(space: &Space<'_>, band: Band, ranking: &impl Ranking, seed: u64, blocks: u64, top: usize) -> SearchState {
    let plan = WalkPlan { seed, candidates: blocks * BLOCK, top, threads: 2 };
    run(&plan, space, band, ranking, SearchState::default(), 100, &mut |_| {})
}

fn plan(seed: u64, generations: u64) -> refine::RefinementPlan {
    refine::RefinementPlan { seed, candidates: generations * GENERATION, population: 20, distance: 3, threads: 2 }
}

fn apart(a: &[u8], b: &[u8]) -> u32 {
    a.iter().zip(b).map(|(&a, &b)| u32::from(a.abs_diff(b))).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn what_refinement_keeps_is_in_band_and_limits_apart_and_no_worse_than_before(
        steps in prop::collection::vec((any::<u8>(), any::<u8>()), 1..6),
        low in 0.2f64..0.8,
        seed in any::<u64>(),
        encoder in any::<bool>(),
    ) {
        let setting = Setting::new(&steps);
        let (space, layers) = (setting.space(0.1), setting.layers());
        let band = Band { low, high: low + 0.03 };
        let mut populations: Vec<Vec<Scored>> = Vec::new();
        let mut keep = |state: &SearchState| populations.push(state.best.clone());
        let (before, after) = if encoder {
            let scorer = Scorer::new(&layers, &space, &random_encoder(&layers, 12, seed));
            let before = walked(&space, band, &scorer, seed, 1, 50);
            let after = refine::run(&plan(seed, 2), &space, band, &scorer, before.clone(), &mut keep);
            for found in &after.best {
                prop_assert_eq!(found.score, scorer.score(&scorer.state(&found.levels)));
            }
            (before, after)
        } else {
            let additive = random_additive(&space, seed);
            let before = walked(&space, band, &additive, seed, 1, 50);
            let after = refine::run(&plan(seed, 2), &space, band, &additive, before.clone(), &mut keep);
            (before, after)
        };
        prop_assert_eq!(before.best.is_empty(), after.best.is_empty());
        for (rank, found) in after.best.iter().enumerate() {
            let kept = space.kept(&found.levels);
            let reduction = 1.0 - setting.costs.at(&kept).macs as f64 / setting.costs.full().macs as f64;
            prop_assert!((low - 1e-9..=low + 0.03 + 1e-9).contains(&reduction), "{reduction}");
            for (group, width) in kept.iter().enumerate() {
                prop_assert!(setting.limits.allowed(group).contains(width));
            }
            for other in &after.best[..rank] {
                prop_assert!(other.score >= found.score && apart(&other.levels, &found.levels) >= 3);
            }
        }
        // Whatever left a generation has a better one beside it in the next, or that is full of better ones.
        populations.insert(0, top::diverse(&before.best, 20, 3));
        for generation in populations.windows(2) {
            for lost in &generation[0] {
                let stays = |kept: &&Scored| kept.score >= lost.score;
                let beside = generation[1].iter().filter(stays).any(|kept| apart(&kept.levels, &lost.levels) < 3);
                let better = generation[1].iter().filter(stays).count();
                prop_assert!(beside || better == 20, "{lost:?} was lost to {better}");
            }
        }
    }
}

#[test]
fn refinement_of_one_poor_start_finds_the_best_of_a_space_that_can_be_counted_out() {
    let setting = Setting::new(&[(0, 3), (1, 2), (1, 1), (0, 1)]);
    let space = setting.space(0.1);
    let band = Band { low: 0.5, high: 0.52 };
    let points = all_points(&space);
    for seed in 0..4 {
        let ranking = random_additive(&space, seed);
        let in_band = points.iter().filter(|levels| band.holds(space.reduction(&space.point((*levels).clone()))));
        let best = in_band.map(|levels| ranking.score(&ranking.state(levels))).fold(f32::NEG_INFINITY, f32::max);
        let one = SearchState { best: vec![worst_draw(&space, band, &ranking)], ..SearchState::default() };
        let found = refine::run(&plan(seed, 10), &space, band, &ranking, one.clone(), &mut |_| {});
        assert!(one.best[0].score < best, "the start is not the answer");
        assert_eq!(found.best[0].score, best);
        assert_eq!(found.refinement.unwrap().score_before, one.best[0].score);
    }
}

fn worst_draw(space: &Space<'_>, band: Band, ranking: &impl Ranking) -> Scored {
    let mut random = ChaCha8Rng::seed_from_u64(0);
    let draws = std::iter::repeat_with(|| space.draw(band, &mut random)).flatten().take(50);
    let scored =
        draws.map(|point| Scored { score: ranking.score(&ranking.state(&point.levels)), levels: point.levels });
    scored.max().expect("fifty were drawn")
}

#[test]
fn threads_and_an_interruption_do_not_change_the_refinement() {
    let setting = Setting::new(&[(0, 4), (1, 4), (2, 3), (1, 2), (3, 0)]);
    let (space, layers) = (setting.space(0.1), setting.layers());
    let scorer = Scorer::new(&layers, &space, &random_encoder(&layers, 24, 1));
    let band = Band { low: 0.5, high: 0.51 };
    let start = walked(&space, band, &scorer, 1, 1, 100);
    let refined = |threads, progress: SearchState, report: &mut (dyn FnMut(&SearchState) + Send)| {
        refine::run(&refine::RefinementPlan { threads, ..plan(1, 6) }, &space, band, &scorer, progress, report)
    };
    let whole = refined(1, start.clone(), &mut |_| {});
    let mut saved = Vec::new();
    let on_three = refined(3, start, &mut |state| saved.push(serde_json::to_string(state).unwrap()));
    assert_eq!(on_three, whole);
    assert_eq!(saved.len(), 6, "one state a generation");
    for state in &saved {
        assert_eq!(refined(2, serde_json::from_str(state).unwrap(), &mut |_| {}), whole);
    }
}

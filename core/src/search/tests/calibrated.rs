use super::*;
use crate::search::additive::{Additive, Sensitivity};
use crate::search::calibrated::{Calibrated, InBand};
use crate::search::space::Point;
use crate::statistics::spearman;

const BAND: Band = Band { low: 0.6, high: 0.65 };

/// Divergence at chance, far from every measurement.
const FAR: f64 = 1e9;

fn setting() -> Setting {
    Setting::new(&[(1, 4), (0, 4), (1, 3), (0, 2)])
}

/// Every group alone costs the share that it loses.
fn equal_sensitivities(space: &Space<'_>) -> Additive {
    let measured: Vec<Sensitivity> = (0..space.groups())
        .map(|group| {
            let full = *space.widths(group).last().unwrap();
            Sensitivity { group, width: full / 2, divergence: 1.0 - (full / 2) as f64 / full as f64 }
        })
        .collect();
    Additive::interpolate(space, &measured)
}

fn draws(space: &Space<'_>, seed: u64, count: usize) -> Vec<Point> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    std::iter::repeat_with(|| space.draw(BAND, &mut random)).flatten().take(count).collect()
}

/// What no measurement of a group alone shows: in the band the last group hurts many times as much.
fn true_divergence(space: &Space<'_>, sum: &Additive, levels: &[u8]) -> f64 {
    let last = space.groups() - 1;
    let kept = space.kept(levels)[last] as f64 / *space.widths(last).last().unwrap() as f64;
    sum.distortion(levels) * kept.powi(-3)
}

fn measured(space: &Space<'_>, sum: &Additive, count: usize, uninformed: f64) -> Vec<InBand> {
    draws(space, 1, count)
        .iter()
        .map(|point| InBand {
            widths: space.kept(&point.levels),
            divergence: true_divergence(space, sum, &point.levels),
            uninformed,
        })
        .collect()
}

#[test]
fn measurements_in_the_band_correct_what_groups_alone_do_not_show() {
    let setting = setting();
    let space = setting.space(0.1);
    let sum = equal_sensitivities(&space);
    let calibrated = Calibrated::fit(&space, sum.clone(), &measured(&space, &sum, 60, FAR));
    let fresh = draws(&space, 2, 200);
    let truth: Vec<f64> = fresh.iter().map(|point| true_divergence(&space, &sum, &point.levels)).collect();
    let rho_of = |predicted: Vec<f64>| spearman(&predicted, &truth).unwrap().rho;
    let before = rho_of(fresh.iter().map(|point| sum.distortion(&point.levels)).collect());
    let after = rho_of(fresh.iter().map(|point| calibrated.divergence(&point.levels)).collect());
    assert!(after > 0.9 && after > before + 0.1, "rho {before} of the sum, {after} calibrated");
}

#[test]
fn few_measurements_leave_the_order_to_the_sum() {
    let setting = setting();
    let space = setting.space(0.1);
    let sum = equal_sensitivities(&space);
    let calibrated = Calibrated::fit(&space, sum.clone(), &measured(&space, &sum, 3, FAR));
    for point in draws(&space, 3, 50) {
        assert!((calibrated.divergence(&point.levels) - sum.distortion(&point.levels)).abs() < 1e-9);
    }
}

#[test]
fn measurements_at_chance_leave_the_order_to_the_sum() {
    let setting = setting();
    let space = setting.space(0.1);
    let sum = equal_sensitivities(&space);
    let calibrated = Calibrated::fit(&space, sum.clone(), &measured(&space, &sum, 60, 1e-6));
    for point in draws(&space, 3, 50) {
        assert!((calibrated.divergence(&point.levels) - sum.distortion(&point.levels)).abs() < 1e-9);
    }
}

#[test]
fn moving_a_group_scores_as_from_scratch() {
    let setting = setting();
    let space = setting.space(0.1);
    let sum = equal_sensitivities(&space);
    let calibrated = Calibrated::fit(&space, sum.clone(), &measured(&space, &sum, 60, FAR));
    let mut random = ChaCha8Rng::seed_from_u64(4);
    let mut levels = space.widest();
    let mut state = calibrated.state(&levels);
    for _ in 0..200 {
        let group = random.random_range(0..space.groups());
        levels[group] = random.random_range(0..space.widths(group).len()) as u8;
        calibrated.shift(&mut state, group, levels[group]);
        let (moved, scratch) = (calibrated.score(&state), calibrated.score(&calibrated.state(&levels)));
        assert!((moved - scratch).abs() <= calibrated.slack(&state), "{moved} after the move, {scratch} from scratch");
    }
}

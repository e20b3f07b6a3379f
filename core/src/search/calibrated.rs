//! The sum of sensitivities, fitted to measurements inside the cost band. An experiment of `engine/benches/ranking.rs`: no job
//! uses it, and the ranking that specs and reports call `calibrated` is the plain sum ([`super::additive`]).
//!
//! The sum of the groups' sensitivities ([`super::additive`]) knows how each group answers alone, and is least true where
//! most is cut: there groups that are harmless alone hurt together. So a few dozen random configurations of the band itself
//! are measured too, and ln divergence is fitted by
//!
//!   `slope · ln(sum of sensitivities) + Σ over groups of weight · −ln(share kept)`
//!
//! with slope and weights at least 0: keeping less is never predicted to be better. The weights are shrunk towards 0 (ridge) and
//! the slope towards 1, so that with few measurements the ranking is that of the sum. A network that is no better than
//! chance has a divergence that means nothing, and fitting that did harm: a measurement counts by how far it is from there. A
//! move changes one term of each sum, which keeps the fast search exact.

use serde::{Deserialize, Serialize};

use super::additive::Additive;
use super::space::Space;
use super::{Levels, Ranking};

/// Divergences below this many nats are alike: what samples and batch norm batches make of it by chance.
const FLOOR: f64 = 1e-3;

/// Ridge penalty of the groups' weights, in measurements; chosen among 3 to 30 on the example networks.
const SHRINKAGE: f64 = 10.0;

/// The penalty of the slope's distance from 1.
const SLOPE_SHRINKAGE: f64 = 1.0;

/// A measurement counts whole when it is this share of the way from chance to the original, and proportionally less below.
const FULL_WEIGHT: f64 = 0.25;

/// The least share kept that the logarithm tells apart.
const LEAST_SHARE: f64 = 0.05;

/// Fewer measurements than this leave the ranking to the sum.
const LEAST_MEASUREMENTS: usize = 8;

/// One measurement: a configuration inside the cost band.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InBand {
    /// Channels kept of each group.
    pub widths: Vec<usize>,
    /// KL divergence of the cut network's outputs from the original's, mean over samples, nats.
    pub divergence: f64,
    /// The divergence of a network that answers the original's mean whatever it sees, nats.
    pub uninformed: f64,
}

impl InBand {
    /// 0 at chance or beyond, 1 from [`FULL_WEIGHT`] of the way to the original on.
    fn weight(&self) -> f64 {
        ((1.0 - self.divergence / self.uninformed) / FULL_WEIGHT).clamp(0.0, 1.0)
    }
}

/// The fitted sum: predicts the divergence of a point of a [`Space`].
#[derive(Debug, Clone, PartialEq)]
pub struct Calibrated {
    sum: Additive,
    /// Of ln(sum).
    slope: f64,
    offset: f64,
    /// Group, level: weight · −ln(share kept).
    corrections: Vec<Vec<f64>>,
}

impl Calibrated {
    pub fn fit(space: &Space<'_>, sum: Additive, measured: &[InBand]) -> Self {
        let groups = space.groups();
        let weights: Vec<f64> = measured.iter().map(InBand::weight).collect();
        if weights.iter().filter(|&&weight| weight > 0.0).count() < LEAST_MEASUREMENTS {
            let corrections = (0..groups).map(|group| vec![0.0; space.widths(group).len()]).collect();
            return Self { sum, slope: 1.0, offset: 0.0, corrections };
        }
        let rows: Vec<Vec<f64>> = measured
            .iter()
            .map(|sample| {
                let base = (sum.distortion(&space.nearest(&sample.widths)) + FLOOR).ln();
                let losses = sample.widths.iter().enumerate().map(|(group, &width)| log_loss(space, group, width));
                std::iter::once(base).chain(losses).collect()
            })
            .collect();
        let target: Vec<f64> = measured.iter().map(|sample| (sample.divergence.max(0.0) + FLOOR).ln()).collect();
        let mut priors = vec![Prior { value: 0.0, strength: SHRINKAGE }; groups + 1];
        priors[0] = Prior { value: 1.0, strength: SLOPE_SHRINKAGE };
        let (offset, coefficients) = non_negative_ridge(&rows, &target, &weights, &priors);
        let corrections = (0..groups)
            .map(|group| {
                let widths = space.widths(group).iter();
                widths.map(|&width| coefficients[group + 1] * log_loss(space, group, width)).collect()
            })
            .collect();
        Self { sum, slope: coefficients[0], offset, corrections }
    }

    /// The ranking by single groups alone.
    pub fn sum(&self) -> &Additive {
        &self.sum
    }

    /// Predicted divergence of a point, nats.
    pub fn divergence(&self, levels: &[u8]) -> f64 {
        (self.logarithm(&self.state(levels)).exp() - FLOOR).max(0.0)
    }

    fn logarithm(&self, state: &Partial) -> f64 {
        self.offset + self.slope * (state.sum + FLOOR).ln() + state.correction
    }
}

/// −ln of the share that a group keeps.
fn log_loss(space: &Space<'_>, group: usize, width: usize) -> f64 {
    let full = *space.widths(group).last().expect("every group has a level") as f64;
    -(width as f64 / full).max(LEAST_SHARE).ln()
}

/// What a coefficient is shrunk towards.
#[derive(Debug, Clone, Copy)]
struct Prior {
    value: f64,
    /// In measurements, for a feature of variance 1.
    strength: f64,
}

/// Weighted least squares with an offset and coefficients at least 0, each shrunk towards its prior. By coordinate descent; the
/// problem is convex. Returns the offset and the coefficients.
fn non_negative_ridge(rows: &[Vec<f64>], target: &[f64], weights: &[f64], priors: &[Prior]) -> (f64, Vec<f64>) {
    const SWEEPS: usize = 500;
    let total: f64 = weights.iter().sum();
    let mean = |value: &dyn Fn(usize) -> f64| {
        weights.iter().enumerate().map(|(row, weight)| weight * value(row)).sum::<f64>() / total
    };
    let means: Vec<f64> = (0..priors.len()).map(|f| mean(&|row| rows[row][f])).collect();
    let scales: Vec<f64> = (0..priors.len()).map(|f| mean(&|row| (rows[row][f] - means[f]).powi(2)).sqrt()).collect();
    let mean_target = mean(&|row| target[row]);
    let at = |row: usize, f: usize| (rows[row][f] - means[f]) / scales[f];

    // A group that is as wide in every measurement says nothing; its coefficient stays at the prior.
    let informative: Vec<usize> = (0..priors.len()).filter(|&f| scales[f] > 1e-9).collect();
    let mut scaled: Vec<f64> = priors.iter().zip(&scales).map(|(prior, scale)| prior.value * scale).collect();
    let priors_scaled = scaled.clone();
    let mut residual: Vec<f64> = (0..rows.len())
        .map(|row| target[row] - mean_target - informative.iter().map(|&f| scaled[f] * at(row, f)).sum::<f64>())
        .collect();
    for _ in 0..SWEEPS {
        let mut largest_change = 0.0f64;
        for &f in &informative {
            let product: f64 = (0..rows.len()).map(|row| weights[row] * at(row, f) * residual[row]).sum();
            let strength = priors[f].strength;
            let best = (product + total * scaled[f] + strength * priors_scaled[f]) / (total + strength);
            let change = best.max(0.0) - scaled[f];
            scaled[f] += change;
            residual.iter_mut().enumerate().for_each(|(row, residual)| *residual -= change * at(row, f));
            largest_change = largest_change.max(change.abs());
        }
        if largest_change < 1e-9 {
            break;
        }
    }
    let mut coefficients: Vec<f64> = priors.iter().map(|prior| prior.value).collect();
    informative.iter().for_each(|&f| coefficients[f] = scaled[f] / scales[f]);
    let offset = mean_target - coefficients.iter().zip(&means).map(|(value, mean)| value * mean).sum::<f64>();
    (offset, coefficients)
}

/// A candidate's two sums.
#[derive(Debug, Clone)]
pub struct Partial {
    levels: Levels,
    sum: f64,
    correction: f64,
}

impl Ranking for Calibrated {
    type State = Partial;

    fn state(&self, levels: &[u8]) -> Partial {
        let correction = levels.iter().zip(&self.corrections).map(|(&level, of_group)| of_group[level as usize]).sum();
        Partial { levels: levels.to_vec(), sum: self.sum.distortion(levels), correction }
    }

    fn reset(&self, state: &mut Partial, levels: &[u8]) {
        *state = self.state(levels);
    }

    fn shift(&self, state: &mut Partial, group: usize, level: u8) {
        let before = state.levels[group];
        state.sum += f64::from(self.sum.penalty(group, level)) - f64::from(self.sum.penalty(group, before));
        state.correction += self.corrections[group][level as usize] - self.corrections[group][before as usize];
        state.levels[group] = level;
    }

    fn score(&self, state: &Partial) -> f32 {
        -self.logarithm(state) as f32
    }

    fn slack(&self, state: &Partial) -> f32 {
        f32::EPSILON * (1.0 + self.logarithm(state).abs() as f32)
    }

    fn levels<'a>(&self, state: &'a Partial) -> &'a [u8] {
        &state.levels
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FREE: Prior = Prior { value: 0.0, strength: 0.0 };

    #[test]
    fn the_fit_finds_the_coefficients_that_made_the_target() {
        let rows: Vec<Vec<f64>> =
            (0..200).map(|i| vec![f64::from(i % 7), f64::from(i % 11), f64::from(i % 13)]).collect();
        let target: Vec<f64> = rows.iter().map(|row| 3.0 + 2.0 * row[0] + 0.5 * row[2]).collect();
        let (offset, coefficients) = non_negative_ridge(&rows, &target, &[0.7; 200], &[FREE; 3]);
        assert!((offset - 3.0).abs() < 1e-6, "{offset}");
        for (found, truth) in coefficients.iter().zip([2.0, 0.0, 0.5]) {
            assert!((found - truth).abs() < 1e-6, "{coefficients:?}");
        }
    }

    #[test]
    fn a_coefficient_that_would_be_negative_is_zero() {
        let rows: Vec<Vec<f64>> = (0..50).map(|i| vec![f64::from(i % 5), f64::from(i)]).collect();
        let target: Vec<f64> = rows.iter().map(|row| row[0] - row[1]).collect();
        assert_eq!(non_negative_ridge(&rows, &target, &[1.0; 50], &[FREE; 2]).1[1], 0.0);
    }

    #[test]
    fn a_measurement_at_chance_counts_nothing() {
        let at = |divergence| InBand { widths: Vec::new(), divergence, uninformed: 2.0 }.weight();
        assert_eq!([at(2.5), at(2.0), at(1.75), at(1.0), at(0.0)], [0.0, 0.0, 0.5, 1.0, 1.0]);
    }
}

//! Rank correlation, for saying how well a ranking predicts, and spread, for saying what is noise.

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};
use utoipa::ToSchema;

/// Spearman's rank correlation with its two-sided p-value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RankCorrelation {
    /// -1 to 1.
    pub rho: f64,
    /// Probability of a rho at least as far from zero if the two were independent, from the t-approximation.
    pub p_value: f64,
    /// Number of pairs.
    pub samples: usize,
}

/// Mean and standard deviation of a few measurements.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Spread {
    /// The arithmetic mean.
    pub mean: f64,
    /// Of the sample (over n - 1); 0 for a single measurement.
    pub std: f64,
    /// Number of measurements.
    pub n: usize,
}

impl Spread {
    /// `None` without measurements.
    pub fn of(values: &[f64]) -> Option<Self> {
        let n = values.len();
        if n == 0 {
            return None;
        }
        let mean = values.iter().sum::<f64>() / n as f64;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Some(Self { mean, std: (squares / (n.max(2) - 1) as f64).sqrt(), n })
    }
}

/// Standard error of a share that was measured on `samples` independent samples, sqrt(p (1 - p) / n).
pub fn binomial_standard_error(share: f64, samples: usize) -> f64 {
    (share * (1.0 - share) / samples.max(1) as f64).sqrt()
}

/// Spearman's rho of two equally long series, ties by mean rank; `None` with fewer than three samples, or when one of
/// the series is constant.
///
/// # Panics
/// The series differ in length.
pub fn spearman(a: &[f64], b: &[f64]) -> Option<RankCorrelation> {
    assert_eq!(a.len(), b.len(), "the series belong to the same samples");
    let samples = a.len();
    if samples < 3 {
        return None;
    }
    let rho = pearson(&ranks(a), &ranks(b))?;
    let freedom = (samples - 2) as f64;
    let p_value = if rho.abs() >= 1.0 {
        0.0
    } else {
        let t = rho * (freedom / (1.0 - rho * rho)).sqrt();
        student_two_sided(t, freedom)
    };
    Some(RankCorrelation { rho, p_value, samples })
}

/// Mean ranks, from 1.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    while start < order.len() {
        let mut end = start + 1;
        while end < order.len() && values[order[end]] == values[order[start]] {
            end += 1;
        }
        for &index in &order[start..end] {
            ranks[index] = (start + end + 1) as f64 / 2.0;
        }
        start = end;
    }
    ranks
}

fn pearson(a: &[f64], b: &[f64]) -> Option<f64> {
    let count = a.len() as f64;
    let (mean_a, mean_b) = (a.iter().sum::<f64>() / count, b.iter().sum::<f64>() / count);
    let (mut product, mut square_a, mut square_b) = (0.0, 0.0, 0.0);
    for (x, y) in a.iter().zip(b) {
        product += (x - mean_a) * (y - mean_b);
        square_a += (x - mean_a) * (x - mean_a);
        square_b += (y - mean_b) * (y - mean_b);
    }
    let scale = (square_a * square_b).sqrt();
    (scale > 0.0).then(|| (product / scale).clamp(-1.0, 1.0))
}

/// P(|T| >= |t|) for Student's t.
fn student_two_sided(t: f64, freedom: f64) -> f64 {
    let distribution = StudentsT::new(0.0, 1.0, freedom).expect("there is at least one degree of freedom");
    2.0 * distribution.sf(t.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_take_the_mean_rank() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 2.0]), [3.5, 1.0, 3.5, 2.0]);
    }

    #[test]
    fn rho_and_p_are_those_of_the_textbook() {
        // IQ and hours of television, the example of Spearman's rho in most textbooks: rho = -29/165, p = 0.6271883.
        let iq = [106.0, 100.0, 86.0, 101.0, 99.0, 103.0, 97.0, 113.0, 112.0, 110.0];
        let hours = [7.0, 27.0, 2.0, 50.0, 28.0, 29.0, 20.0, 12.0, 6.0, 17.0];
        let found = spearman(&iq, &hours).unwrap();
        assert!((found.rho + 29.0 / 165.0).abs() < 1e-12, "{}", found.rho);
        assert!((found.p_value - 0.627_188_3).abs() < 1e-6, "{}", found.p_value);
    }

    #[test]
    fn spread_is_that_of_the_sample() {
        let spread = Spread::of(&[2.0, 4.0, 4.0, 6.0]).unwrap();
        assert_eq!((spread.mean, spread.n), (4.0, 4));
        assert!((spread.std - (8.0_f64 / 3.0).sqrt()).abs() < 1e-12);
        assert_eq!(Spread::of(&[0.5]), Some(Spread { mean: 0.5, std: 0.0, n: 1 }));
        assert_eq!(Spread::of(&[]), None);
    }

    #[test]
    fn the_error_of_a_share_shrinks_with_the_root_of_the_samples() {
        assert_eq!(binomial_standard_error(0.5, 100), 0.05);
        assert_eq!(binomial_standard_error(0.5, 400), 0.025);
        assert_eq!(binomial_standard_error(1.0, 100), 0.0);
    }

    #[test]
    fn a_monotone_relation_is_one_and_a_constant_has_none() {
        assert_eq!(spearman(&[1.0, 2.0, 3.0, 4.0], &[1.0, 8.0, 27.0, 64.0]).unwrap().rho, 1.0);
        assert_eq!(spearman(&[1.0, 2.0, 3.0], &[5.0, 5.0, 5.0]), None);
        assert_eq!(spearman(&[1.0, 2.0], &[1.0, 2.0]), None);
    }
}

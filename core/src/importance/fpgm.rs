//! FPGM (He et al. 2019): a filter near the geometric median of its layer is one that the others can replace.
//!
//! A filter's score is the sum of its Euclidean distances to the layer's other filters of the same group. It is least for the
//! filters nearest to the geometric median, which minimises that sum over all points.

use super::slices::{Role, Slices};

pub(super) fn looks_at(slices: &Slices<'_>) -> bool {
    slices.role == Role::Filter
}

pub(super) fn score(slices: &Slices<'_>, weights: &[f32]) -> Vec<f64> {
    let filters = slices.vectors(weights);
    let mut sums = vec![0.0; filters.len()];
    for (index, filter) in filters.iter().enumerate() {
        for (other, another) in filters.iter().enumerate().skip(index + 1) {
            let distance = squared_distance(filter, another).sqrt();
            sums[index] += distance;
            sums[other] += distance;
        }
    }
    sums
}

/// In eight running sums, which the compiler can keep in vector registers: wide layers have millions of pairs.
fn squared_distance(a: &[f32], b: &[f32]) -> f64 {
    const LANES: usize = 8;
    let square = |(a, b): (&f32, &f32)| (f64::from(*a) - f64::from(*b)).powi(2);
    let mut sums = [0.0; LANES];
    let (heads, rest) = (a.chunks_exact(LANES).zip(b.chunks_exact(LANES)), a.len() / LANES * LANES);
    for (a, b) in heads {
        for (sum, pair) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += square(pair);
        }
    }
    sums.iter().sum::<f64>() + a[rest..].iter().zip(&b[rest..]).map(square).sum::<f64>()
}

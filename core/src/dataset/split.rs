//! Which samples of `x` belong to which split when the file does not say: 80, 10 and 10 per cent, drawn by seed.

use std::sync::Arc;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::check::DatasetArrays;
use super::{MIN_SAMPLES, Split, SplitCounts, invalid, tenth};
use crate::rejection::Rejection;

/// Samples of each split. Fails when a split that is taken off `x` would have fewer than [`MIN_SAMPLES`].
pub(super) fn count(parts: &DatasetArrays) -> Result<SplitCounts, Rejection> {
    let samples = parts.train.samples();
    let tenth = tenth(samples);
    let stored = |part: &Option<super::check::SplitArrays>| part.as_ref().map(|part| part.samples());
    let (val, test) = (stored(&parts.val), stored(&parts.test));
    let taken = tenth * (usize::from(val.is_none()) + usize::from(test.is_none()));
    if taken > 0 && tenth < MIN_SAMPLES {
        return Err(invalid(format!(
            "`x` has {samples} samples: a tenth is too few for a validation or test split; at least {} are needed.",
            10 * MIN_SAMPLES - 5
        ))
        .at("x")
        .hint("Add samples, or `x_val` and `x_test` of at least 3 samples each."));
    }
    Ok(SplitCounts { train: samples - taken, val: val.unwrap_or(tenth), test: test.unwrap_or(tenth) })
}

/// The numbers of the samples of `x` that belong to `split`, ascending; the splits are disjoint for the same seed.
pub(super) fn members(parts: &DatasetArrays, counts: &SplitCounts, split: Split, seed: u64) -> Arc<[u32]> {
    let samples = parts.train.samples();
    let order = shuffled(samples, seed);
    let val = if parts.val.is_none() { counts.val } else { 0 };
    let test = if parts.test.is_none() { counts.test } else { 0 };
    let range = match split {
        Split::Val => 0..val,
        Split::Test => val..val + test,
        Split::Train => val + test..samples,
    };
    let mut members = order[range].to_vec();
    members.sort_unstable();
    members.into()
}

/// Fisher and Yates, written out: the order for a seed must not change with a version of a crate.
fn shuffled(samples: usize, seed: u64) -> Vec<u32> {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    // `MAX_SAMPLES` fits.
    let mut order: Vec<u32> = (0..samples as u32).collect();
    for last in (1..order.len()).rev() {
        let draw = u128::from(generator.next_u64()) * (last as u128 + 1);
        order.swap(last, (draw >> 64) as usize);
    }
    order
}

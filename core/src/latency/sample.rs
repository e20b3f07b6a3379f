//! The widths at which a network is measured.

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::LatencyTable;
use crate::configuration::Limits;

/// Networks that are timed, the uncut one included.
pub const NETWORKS: usize = 26;

/// The uncut network first, the narrowest second, then a Latin hypercube of each of two kinds: groups independent of each
/// other, so that every layer is seen at many pairs of input and output widths; and groups that lose about the same
/// share, so that whole networks are seen from narrow to wide. One list of widths, a width per group, for each network.
///
/// # Panics
/// Never: every group of `limits` has a width.
pub(super) fn widths(limits: &Limits, seed: u64) -> Vec<Vec<usize>> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let full = (0..limits.groups()).map(|group| *limits.allowed(group).last().expect("every group has a width"));
    let mut networks = vec![full.collect(), limits.least()];
    let drawn = NETWORKS - networks.len();
    let (independent, together) = (drawn - drawn / 2, drawn / 2);

    let shares: Vec<Vec<f64>> = (0..limits.groups()).map(|_| strata(independent, &mut random)).collect();
    let at = |group: usize, share: f64| {
        let allowed = limits.allowed(group);
        allowed[((share * allowed.len() as f64) as usize).min(allowed.len() - 1)]
    };
    networks.extend(
        (0..independent).map(|network| (0..shares.len()).map(|group| at(group, shares[group][network])).collect()),
    );
    for share in strata(together, &mut random) {
        networks.push(
            (0..limits.groups())
                .map(|group| at(group, (share + SPREAD * (random.random::<f64>() - 0.5)).clamp(0.0, 1.0)))
                .collect(),
        );
    }
    networks
}

/// Networks near the target that the table is tried on.
pub const PROBES: usize = 8;

/// Networks that the table says remove the target, as near as the allowed widths come, each with its own shape: every group loses a
/// random share of its channels, and all shares grow together until the target is met. None when the table says that the
/// constraints do not allow so much.
pub(super) fn near(limits: &Limits, table: &LatencyTable, target: f64, seed: u64) -> Vec<Vec<usize>> {
    let mut random = ChaCha8Rng::seed_from_u64(seed ^ PROBE_SEED);
    let removed = |widths: &[usize]| 1.0 - table.at(widths) / table.base_ms;
    if removed(&limits.least()) < target {
        return Vec::new();
    }
    let of_shape = |shape: Vec<f64>| {
        let at = |depth: f64| -> Vec<usize> {
            let width = |(group, share): (usize, &f64)| {
                let allowed = limits.allowed(group);
                let index = ((1.0 - share * depth).max(0.0) * (allowed.len() - 1) as f64).round();
                allowed[index as usize]
            };
            shape.iter().enumerate().map(width).collect()
        };
        // All groups are as narrow as they may be at the depth at which the one that loses least is.
        let (mut shallow, mut deep) = (0.0, 1.0 / SHALLOWEST);
        for _ in 0..BISECTIONS {
            let middle = 0.5 * (shallow + deep);
            if removed(&at(middle)) < target {
                shallow = middle;
            } else {
                deep = middle;
            }
        }
        at(deep)
    };
    let mut shape = || -> Vec<f64> { (0..limits.groups()).map(|_| random.random_range(SHALLOWEST..1.0)).collect() };
    (0..PROBES).map(|_| of_shape(shape())).collect()
}

/// The share of its channels that a group loses at least where another one loses all that it may.
const SHALLOWEST: f64 = 0.05;
const BISECTIONS: usize = 40;
/// Shapes that have nothing in common with the networks that the table was fitted to.
const PROBE_SEED: u64 = 0x7072_6f62_6573;

/// How far groups of a network that lose about the same share differ.
const SPREAD: f64 = 0.3;

/// One number from each of `count` equal parts of 0 to 1, in random order.
fn strata(count: usize, random: &mut ChaCha8Rng) -> Vec<f64> {
    let mut strata: Vec<f64> = (0..count).map(|part| (part as f64 + random.random::<f64>()) / count as f64).collect();
    strata.shuffle(random);
    strata
}

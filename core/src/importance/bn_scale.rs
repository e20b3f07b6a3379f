//! The magnitude of the batch norm's scale γ (Network Slimming, Liu et al. 2017): what follows sees the channel times γ.

use super::slices::{Role, Slices};

pub(super) fn looks_at(slices: &Slices<'_>) -> bool {
    slices.role == Role::Scale
}

pub(super) fn score(slices: &Slices<'_>, scale: &[f32]) -> Vec<f64> {
    slices.sums(scale, f64::abs)
}

//! L1 and L2: how large a slice's weights are.

use super::slices::{Role, Slices};

/// Filters and columns; the batch norm's scale too when all tensors of the group are brought to one scale.
pub(super) fn looks_at(slices: &Slices<'_>, counts_scales: bool) -> bool {
    match slices.role {
        Role::Filter | Role::Column => true,
        Role::Scale => counts_scales,
        Role::Other => false,
    }
}

pub(super) fn l1(slices: &Slices<'_>, weights: &[f32]) -> Vec<f64> {
    slices.sums(weights, f64::abs)
}

pub(super) fn l2(slices: &Slices<'_>, weights: &[f32]) -> Vec<f64> {
    slices.sums(weights, |weight| weight * weight).into_iter().map(f64::sqrt).collect()
}

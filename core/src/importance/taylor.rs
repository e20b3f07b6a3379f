//! First-order Taylor expansion (Molchanov et al. 2019): by how much the loss changes, to first order, when a weight becomes zero.
//!
//! A weight's saliency is |weight · gradient|, averaged over batches by the engine; a slice's score is the sum over its weights.

use super::magnitude;
use super::slices::Slices;

/// The tensors that the magnitudes look at.
pub(super) fn looks_at(slices: &Slices<'_>, counts_scales: bool) -> bool {
    magnitude::looks_at(slices, counts_scales)
}

pub(super) fn score(slices: &Slices<'_>, saliency: &[f32]) -> Vec<f64> {
    slices.sums(saliency, f64::abs)
}

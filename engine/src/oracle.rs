//! The check of every surgery: `pruned(x) = original(x)` with the removed input columns of consumers set to zero.
//!
//! A removed channel reached the rest of the network only through those columns, so zeroing them in the original must give
//! what the cut network computes, to float rounding. Where two activations are summed over a removed channel (queries and
//! keys), there is no column; the original then reads one of them as zero there. The check is run before recalibration and fine-tuning change anything. A
//! violation is our own bug in a rule of [`secateur_core::operator`] or in the surgery, never the user's fault.

use secateur_core::report::Equivalence;
use secateur_core::surgery::{self, Cut, Reference};
use tch::{Device, Tensor};

use crate::cut::with_zeroed_columns;
use crate::difference;
use crate::error::Error;
use crate::network::{Network, random_inputs};

const RANDOM_BATCH: i64 = 4;

/// Compares on random inputs and, where there are some, on samples of the data set.
///
/// # Errors
/// When they differ by more than [`difference::RELATIVE_TOLERANCE`]; names the candidate and the difference.
pub fn check(
    candidate: usize,
    original: &Network,
    cut: &Cut,
    pruned: &Network,
    samples: Option<Tensor>,
    seed: u64,
) -> Result<Equivalence, Error> {
    let _no_grad = tch::no_grad_guard();
    let reference = reference(original, cut)?;
    let device = original.weights().first().map_or(Device::Cpu, Tensor::device);
    let random = random_inputs(original.graph(), RANDOM_BATCH, seed as i64, device)?;
    let mut worst: Option<Equivalence> = None;
    for inputs in [Some(random), samples.map(|samples| vec![samples])].into_iter().flatten() {
        let expected = reference.evaluate(&inputs)?;
        let actual = pruned.evaluate(&inputs)?;
        let found =
            difference::between(&actual, &expected).map_err(|error| violation(candidate, &error.to_string()))?;
        worst = Some(worst.map_or(found, |worst| difference::worse(worst, found)));
    }
    let worst = worst.expect("the random inputs were compared");
    if !difference::is_within_tolerance(worst) {
        let found = format!("they differ by {:e}, at most {:e} is rounding", worst.max_abs_diff, worst.tolerance);
        return Err(violation(candidate, &found));
    }
    Ok(worst)
}

/// The original that ignores what the cut removes.
fn reference(original: &Network, cut: &Cut) -> Result<Network, Error> {
    let mut weights = with_zeroed_columns(original.graph(), &cut.zeroed, original.weights())?;
    let device = original.weights().first().map_or(Device::Cpu, Tensor::device);
    let Reference { graph, masks } = surgery::reference(original.graph(), &cut.masked);
    for (shape, indices) in masks {
        weights.push(crate::cut::mask(&shape, &indices)?.f_to(device)?);
    }
    Network::new(graph, weights)
}

fn violation(candidate: usize, found: &str) -> Error {
    Error::internal(format!(
        "our bug: the surgery of candidate {candidate} does not compute what the original with the removed input columns \
         zeroed computes: {found}"
    ))
}

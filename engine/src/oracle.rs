//! The check of every surgery: `pruned(x) = original(x)` with the removed input columns of consumers set to zero.
//!
//! A removed channel reached the rest of the network only through those columns, so zeroing them in the original must give
//! what the cut network computes, to float rounding. Where that is not enough, at normalisations over a cut dimension and
//! at sums over two activations, the original sees only what remains (see [`secateur_core::surgery::Reference`]).
//! The check is run before recalibration and fine-tuning change anything. A violation is our own bug in a rule of
//! [`secateur_core::operator`] or in the surgery, never the user's fault.

use secateur_core::report::Equivalence;
use secateur_core::surgery::{Constant, Cut};
use tch::{Device, Tensor};

use crate::cut::{mask, with_zeroed_columns};
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
    let random = random_inputs(original.graph(), RANDOM_BATCH, seed as i64, device_of(original))?;
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
    let Some(reference) = &cut.reference else {
        return Network::new(original.graph().clone(), weights);
    };
    for constant in &reference.constants {
        let tensor = match constant {
            Constant::Indices(indices) => Tensor::f_from_slice(indices)?,
            Constant::Mask { shape, indices } => mask(shape, indices)?,
        };
        weights.push(tensor.f_to(device_of(original))?);
    }
    Network::new(reference.graph.clone(), weights)
}

fn device_of(network: &Network) -> Device {
    network.weights().first().map_or(Device::Cpu, Tensor::device)
}

fn violation(candidate: usize, found: &str) -> Error {
    Error::internal(format!(
        "our bug: the surgery of candidate {candidate} does not compute what the original with the removed input columns \
         zeroed computes: {found}"
    ))
}

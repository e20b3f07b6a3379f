//! The check of every surgery: `pruned(x) = original(x)` with the removed input columns of consumers set to zero.
//!
//! A removed channel reached the rest of the network only through those columns, so zeroing them in the original must give
//! what the cut network computes, to float rounding. Where that is not enough, at normalisations over a cut dimension and
//! at sums over two activations, the original sees only what remains (see [`secateur_core::surgery::Reference`]).
//! A network can be so ill-conditioned that float32 rounding alone exceeds what is allowed (a batch norm that divides by next to
//! nothing). Then both are computed again in float64, where rounding is nine orders smaller, and have to agree far more closely.
//!
//! The check is run before re-estimated batch norm statistics and fine-tuning change anything. A violation is our own bug in a rule of
//! [`secateur_core::operator`] or in the surgery, never the user's fault.

use secateur_core::graph::{Graph, Literal, Size};
use secateur_core::surgery::{Constant, Cut, Equivalence};
use tch::{Device, Kind, Tensor};

use crate::error::Error;
use crate::network::cut::{mask, with_zeroed_columns};
use crate::network::{Network, random_inputs};
use crate::proof::difference;

const RANDOM_BATCH: i64 = 4;

/// What TorchScript calls the two kinds.
const FLOAT32: i64 = 6;
const FLOAT64: i64 = 7;

/// Allowed difference in float64, relative to the outputs' magnitude.
const DOUBLE_TOLERANCE: f64 = 1e-9;

/// Compares on random inputs and, where there are some, on samples of the data set.
///
/// # Errors
/// A rejection when the original's outputs are not finite there. A failure, with the candidate and the difference, when they
/// differ by more than [`difference::RELATIVE_TOLERANCE`], and in float64 by more than [`DOUBLE_TOLERANCE`].
pub fn check(
    candidate: usize,
    original: &Network,
    cut: &Cut,
    pruned: &Network,
    samples: Option<Vec<Tensor>>,
    seed: u64,
) -> Result<Equivalence, Error> {
    let _no_grad = tch::no_grad_guard();
    let reference = reference(original, cut)?;
    let random = random_inputs(original.graph(), RANDOM_BATCH, seed as i64, device_of(original))?;
    let inputs: Vec<Vec<Tensor>> = [Some(random), samples].into_iter().flatten().collect();
    let worst = compare(pruned, &reference, &inputs).map_err(|error| match error {
        Error::Rejected(_) => error,
        other => violation(candidate, &other.to_string()),
    })?;
    if difference::is_within_tolerance(worst) {
        return Ok(worst);
    }
    match compare_in_double(pruned, &reference, &inputs) {
        Ok(exact) if difference::is_within_tolerance(exact) => Ok(exact),
        // Not every operator can be asked for float64; what float32 says stands then.
        _ => {
            let found = format!("they differ by {:e}, at most {:e} is rounding", worst.max_abs_diff, worst.tolerance);
            Err(violation(candidate, &found))
        }
    }
}

/// The largest difference over all inputs, by what is allowed.
fn compare(pruned: &Network, reference: &Network, inputs: &[Vec<Tensor>]) -> Result<Equivalence, Error> {
    let mut worst: Option<Equivalence> = None;
    for inputs in inputs {
        let found = difference::between(&pruned.evaluate(inputs)?, &reference.evaluate(inputs)?)?;
        worst = Some(worst.map_or(found, |worst| difference::worse(worst, found)));
    }
    Ok(worst.expect("the random inputs were compared"))
}

fn compare_in_double(pruned: &Network, reference: &Network, inputs: &[Vec<Tensor>]) -> Result<Equivalence, Error> {
    let inputs: Vec<Vec<Tensor>> =
        inputs.iter().map(|tensors| tensors.iter().map(in_double).collect()).collect::<Result<_, _>>()?;
    let Equivalence { max_abs_diff, tolerance } =
        compare(&network_in_double(pruned)?, &network_in_double(reference)?, &inputs)?;
    Ok(Equivalence { max_abs_diff, tolerance: tolerance * DOUBLE_TOLERANCE / difference::RELATIVE_TOLERANCE })
}

fn network_in_double(network: &Network) -> Result<Network, Error> {
    let mut file = network.graph().file().clone();
    let [single, double] = [FLOAT32, FLOAT64].map(|number| Literal::Int(Size::fixed(number)));
    for node in &mut file.nodes {
        if node.arg("dtype") == Some(&single) {
            node.set("dtype", double.clone());
        }
    }
    let weights = network.weights().iter().map(in_double).collect::<Result<_, _>>()?;
    Network::new(Graph::new(file)?, weights)
}

fn in_double(tensor: &Tensor) -> Result<Tensor, Error> {
    Ok(if tensor.is_floating_point() { tensor.f_to_kind(Kind::Double)? } else { tensor.shallow_clone() })
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

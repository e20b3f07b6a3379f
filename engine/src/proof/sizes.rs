//! The check of a patched program at a size of input that it was not recorded at.
//!
//! The oracle ([`super::oracle`]) compares graphs, which hold for the recorded size. A patched file is a program for every size that
//! the user's program takes, so it is run at another one, beside the original program with the removed input columns at zero. Both are
//! loaded and run as a user's process does.

use std::path::{Path, PathBuf};

use secateur_core::report::OtherSize;
use secateur_core::surgery::Cut;
use tch::{Device, Tensor};

use crate::error::Error;
use crate::network::cut::{apply, with_zeroed_columns};
use crate::network::{Network, random_inputs_of};
use crate::proof::difference;
use crate::torch::{self, Reloaded};

const BATCH: i64 = 2;
/// What a dimension grows by: networks halve an image up to five times.
const STEPS: i64 = 32;

/// Compares at the first size that the original takes; `None` when it takes no other.
///
/// # Errors
/// A failure when the patched program does something else there, which is our bug.
pub fn check(
    model: &Path,
    original: &Network,
    cut: &Cut,
    scratch: [PathBuf; 2],
    seed: u64,
) -> Result<Option<OtherSize>, Error> {
    let [zeroed_file, pruned_file] = &scratch;
    let checked = check_files(model, original, cut, zeroed_file, pruned_file, seed);
    for file in &scratch {
        let _ = std::fs::remove_file(file);
    }
    checked
}

fn check_files(
    model: &Path,
    original: &Network,
    cut: &Cut,
    zeroed_file: &Path,
    pruned_file: &Path,
    seed: u64,
) -> Result<Option<OtherSize>, Error> {
    let _no_grad = tch::no_grad_guard();
    let graph = original.graph();
    let zeroed = with_zeroed_columns(graph, &cut.zeroed, original.weights())?;
    let smaller = apply(graph, cut, original.weights())?;
    let write = |network: (&_, &[Tensor]), file: &Path| {
        torch::patch(model, graph, network, file, &[])
            .map_err(|why| Error::internal(format!("{}: {why}", file.display())))
    };
    write((graph, &zeroed), zeroed_file)?;
    write((&cut.graph, &smaller), pruned_file)?;
    let [zeroed, pruned] = [zeroed_file, pruned_file].map(|file| Reloaded::open(file, Device::Cpu));
    let (zeroed, pruned) = (zeroed?, pruned?);

    let inputs = graph.inputs().iter().map(|&input| graph.value(input));
    let home: Vec<Vec<i64>> = inputs.map(|value| value.shape[1..].iter().map(|size| size.fixed).collect()).collect();
    for shapes in other_shapes(&home) {
        if !torch::takes(model, graph, &shapes) {
            continue;
        }
        let inputs = samples(original, &shapes, seed)?;
        let Ok(expected) = zeroed.forward(&inputs) else { continue };
        let fail =
            |what: String| Error::internal(format!("our bug: at inputs of {shapes:?} the patched program {what}"));
        let found = pruned.forward(&inputs).map_err(|error| fail(format!("fails: {error}")))?;
        let is_alike = found.len() == expected.len()
            && found.iter().zip(&expected).all(|(a, b)| a.size() == b.size() && a.kind() == b.kind());
        if !is_alike {
            return Err(fail("has outputs of other shapes or types than the original".to_owned()));
        }
        // A normalisation over cut channels makes another function of it, and rounding may be beyond float32.
        let at_home = samples(original, &home, seed)?;
        let is_exact = cut.reference.is_none() && agree(&pruned.forward(&at_home)?, &zeroed.forward(&at_home)?);
        if is_exact && !agree(&found, &expected) {
            let far = difference::between(&found, &expected)?;
            return Err(fail(format!(
                "does not compute what the original does without the removed columns: {:e} apart, at most {:e} is rounding",
                far.max_abs_diff, far.tolerance
            )));
        }
        return Ok(Some(OtherSize { shapes, values: is_exact }));
    }
    Ok(None)
}

fn agree(actual: &[Tensor], expected: &[Tensor]) -> bool {
    difference::between(actual, expected).is_ok_and(difference::is_within_tolerance)
}

/// All dimensions but the first larger, else the last one, else the first one, which may be time.
fn other_shapes(home: &[Vec<i64>]) -> Vec<Vec<Vec<i64>>> {
    let grown = |is_grown: fn(usize, usize) -> bool| -> Vec<Vec<i64>> {
        let grow = |shape: &Vec<i64>| {
            let sizes = shape.iter().enumerate();
            sizes.map(|(dim, size)| if is_grown(dim, shape.len()) { size + STEPS } else { *size }).collect()
        };
        home.iter().map(grow).collect()
    };
    let mut shapes = vec![grown(|dim, _| dim > 0), grown(|dim, rank| dim + 1 == rank), grown(|dim, _| dim == 0)];
    shapes.retain(|shapes| shapes != home);
    shapes.dedup();
    shapes
}

fn samples(network: &Network, shapes: &[Vec<i64>], seed: u64) -> Result<Vec<Tensor>, Error> {
    let shapes: Vec<Vec<i64>> = shapes.iter().map(|shape| [&[BATCH], &shape[..]].concat()).collect();
    random_inputs_of(network.graph(), &shapes, seed as i64, Device::Cpu)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_grow_first_and_sequences_in_time() {
        assert_eq!(other_shapes(&[vec![3, 16, 24]])[0], [[3, 48, 56]]);
        assert_eq!(other_shapes(&[vec![7]]), [[[39]]]);
        assert_eq!(other_shapes(&[vec![20, 4]]), [[[20, 36]], [[52, 4]]]);
        assert!(other_shapes(&[vec![]]).is_empty());
    }
}

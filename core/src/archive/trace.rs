//! The example that a model was traced with: `traced_inputs.pkl` holds the inputs of each traced method.

use std::io::BufRead;

use crate::rejection::Rejection;
use crate::untrusted::pickle::{self, Destination, PickleName, Tensor, ValueKind, ValueSummary, Witness};

/// Inputs of a model; of more the shapes are not told.
const MAX_INPUTS: usize = 256;

/// The shapes of the inputs of `forward`, batch included. `None` when one of them is no tensor or the pickle is not readable.
pub(super) fn input_shapes(source: impl BufRead) -> Option<Vec<Vec<i64>>> {
    let mut inputs = Inputs::default();
    let mut operations = pickle::MAX_OPERATIONS;
    let name = PickleName { record: "traced_inputs.pkl", prefix: "" };
    pickle::read(source, name, &mut operations, &mut inputs).ok()?;
    let shapes: Vec<Vec<i64>> =
        inputs.of_forward?.into_iter().map(|tensor| inputs.shapes.get(tensor).cloned()).collect::<Option<_>>()?;
    let possible = !shapes.is_empty() && shapes.iter().flatten().all(|&size| size >= 0);
    possible.then_some(shapes)
}

#[derive(Default)]
struct Inputs {
    /// Of the first tensors of the pickle.
    shapes: Vec<Vec<i64>>,
    /// The numbers of the tensors that `forward` took.
    of_forward: Option<Vec<usize>>,
}

impl Witness for Inputs {
    fn tensor(&mut self, tensor: &Tensor, _place: &Destination) -> Result<(), Rejection> {
        if self.shapes.len() < MAX_INPUTS {
            self.shapes.push(tensor.sizes.to_vec());
        }
        Ok(())
    }

    fn list(&mut self, items: &[ValueSummary], place: &Destination) {
        // The path leads to the item that would be next in the list.
        let is_forward = matches!(place.path().as_slice(), [key, _] if place.text(key) == Some("forward"));
        if is_forward && self.of_forward.is_none() {
            let number = |item: &ValueSummary| match item.kind {
                ValueKind::Tensor(number) => Some(number.0 as usize),
                _ => None,
            };
            // A number that no tensor has stands for an input that is none.
            self.of_forward = Some(items.iter().map(|item| number(item).unwrap_or(usize::MAX)).collect());
        }
    }
}

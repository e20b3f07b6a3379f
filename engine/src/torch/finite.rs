//! Whether numbers can be compared at all: NaN equals nothing, and an infinity hides every other term of its sum.
//!
//! A network with such parameters, or with such outputs on plain inputs, can be pruned into anything and no comparison would
//! tell. So it is refused by the name of the tensor, before anything is proved of it. Buffers may hold infinities, as masks of
//! attention do, as long as the outputs are finite.

use std::fmt;

use secateur_core::graph::{Graph, ParameterKind};
use secateur_core::rejection::{Code, Rejection};
use tch::{Kind, TchError, Tensor};

use super::TorchError;

/// Tensors that a refusal names.
const NAMED: usize = 3;

/// What of a tensor is not finite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotFinite {
    count: i64,
    of: usize,
    first: Vec<i64>,
}

impl NotFinite {
    /// `None` when every element is finite; integers always are.
    pub fn of(tensor: &Tensor) -> Result<Option<Self>, TchError> {
        if !tensor.is_floating_point() || tensor.numel() == 0 {
            return Ok(None);
        }
        // NaN is passed on by both, and neither takes memory.
        let (least, greatest) = tensor.f_aminmax(None::<i64>, false)?;
        if least.f_double_value(&[])?.is_finite() && greatest.f_double_value(&[])?.is_finite() {
            return Ok(None);
        }
        let found = tensor.f_isfinite()?.f_logical_not()?.f_flatten(0, -1)?;
        let count = found.f_sum(Kind::Int64)?.f_int64_value(&[])?;
        let mut position = found.f_to_kind(Kind::Uint8)?.f_argmax(None::<i64>, false)?.f_int64_value(&[])?;
        let mut first = Vec::new();
        for size in tensor.size().into_iter().rev() {
            first.insert(0, position % size);
            position /= size;
        }
        Ok(Some(Self { count, of: tensor.numel(), first }))
    }
}

impl fmt::Display for NotFinite {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, of, first } = self;
        write!(formatter, "{count} of {of} values that are NaN or infinite, the first at {first:?}")
    }
}

/// Refuses parameters that are not finite.
pub(super) fn check_parameters(graph: &Graph, weights: &[Tensor]) -> Result<(), TorchError> {
    for (parameter, weight) in graph.parameters().iter().zip(weights) {
        if parameter.kind != ParameterKind::Parameter {
            continue;
        }
        if let Some(found) = NotFinite::of(weight)? {
            return Err(Rejection::new(
                Code::UnsupportedModel,
                format!("The parameter `{}` holds {found}; all parameters must be finite.", parameter.name),
            )
            .at(parameter.name.clone())
            .hint("Save the model from before its training diverged.")
            .into());
        }
    }
    Ok(())
}

/// Refuses outputs of the original that are not finite, and names the buffers that may be why.
pub(super) fn check_outputs(outputs: &[Tensor], graph: &Graph, weights: &[Tensor]) -> Result<(), TorchError> {
    for (index, output) in outputs.iter().enumerate() {
        let Some(found) = NotFinite::of(output)? else { continue };
        let mut suspects = Vec::new();
        for (parameter, weight) in graph.parameters().iter().zip(weights) {
            if NotFinite::of(weight)?.is_some() {
                suspects.push(format!("`{}`", parameter.name));
            }
        }
        let because = match &suspects[..] {
            [] => String::new(),
            some => format!(" Not finite either: {}.", some[..some.len().min(NAMED)].join(", ")),
        };
        let rejection = Rejection::new(
            Code::UnsupportedModel,
            format!(
                "Output {index} of the model holds {found} where the inputs are standard normal numbers, so nothing could be \
                 proved of a pruned network.{because}"
            ),
        );
        return Err(rejection
            .at(format!("output {index}"))
            .hint("Normalise or clamp inside the model what it divides by, or takes a logarithm or a root of.")
            .into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bad_value_is_found_with_its_place() {
        let tensor = Tensor::zeros([3, 4, 5], (Kind::Float, tch::Device::Cpu));
        assert_eq!(NotFinite::of(&tensor).unwrap(), None);
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let tensor = tensor.copy();
            let _ = tensor.get(1).get(2).get(3).fill_(bad);
            let found = NotFinite::of(&tensor).unwrap().unwrap();
            assert_eq!(found.to_string(), "1 of 60 values that are NaN or infinite, the first at [1, 2, 3]");
        }
    }

    #[test]
    fn integers_and_nothing_are_finite() {
        let nothing = Tensor::zeros([0, 3], (Kind::Float, tch::Device::Cpu));
        for tensor in [Tensor::from_slice(&[i64::MAX]), nothing] {
            assert_eq!(NotFinite::of(&tensor).unwrap(), None);
        }
    }
}

//! How far the outputs of two networks that should agree are apart.

use secateur_core::rejection::{Code, Rejection};
use secateur_core::surgery::Equivalence;
use tch::{Kind, Tensor};

use crate::error::Error;
use crate::torch::NotFinite;

/// Allowed difference relative to the outputs' magnitude.
///
/// Both networks compute the same sums in float32, only in another order or with other zeros between the terms.
/// One sum of n terms is then off by about sqrt(n) · 6e-8 of its magnitude, and some tens of layers add up to 1e-5; a wrong
/// channel shows at 1e-2 and above. 1e-4 lies between, an order of magnitude from the one and two from the other.
pub const RELATIVE_TOLERANCE: f64 = 1e-4;

/// Outputs this small are what is left when larger sums cancel, whose rounding they carry.
const SMALLEST_MAGNITUDE: f64 = 1e-2;

/// The largest difference over all outputs, beside what is allowed: [`RELATIVE_TOLERANCE`] of the largest magnitude
/// of `expected`, or of [`SMALLEST_MAGNITUDE`] when that is smaller.
///
/// # Errors
/// A rejection when `expected` is not finite, since no comparison could fail then. A failure when `actual` is not, or when the
/// outputs differ in number, shape or dtype.
pub fn between(actual: &[Tensor], expected: &[Tensor]) -> Result<Equivalence, Error> {
    let _no_grad = tch::no_grad_guard();
    if actual.len() != expected.len() {
        return Err(Error::internal(format!("{} outputs instead of {}", actual.len(), expected.len())));
    }
    let mut max_abs_diff: f64 = 0.0;
    let mut magnitude = SMALLEST_MAGNITUDE;
    for (index, (actual, expected)) in actual.iter().zip(expected).enumerate() {
        if actual.size() != expected.size() {
            return Err(Error::internal(format!(
                "an output of shape {:?} instead of {:?}",
                actual.size(),
                expected.size()
            )));
        }
        if actual.f_kind()? != expected.f_kind()? {
            return Err(Error::internal(format!(
                "an output of dtype {:?} instead of {:?}",
                actual.f_kind()?,
                expected.f_kind()?
            )));
        }
        if expected.numel() == 0 {
            continue;
        }
        let actual = actual.f_to_kind(Kind::Double)?;
        let expected = expected.f_to_device(actual.device())?.f_to_kind(Kind::Double)?;
        if let Some(found) = NotFinite::of(&expected)? {
            return Err(nothing_to_compare(index, &found).into());
        }
        if let Some(found) = NotFinite::of(&actual)? {
            return Err(Error::internal(format!("output {index} holds {found}, where the other network's is finite")));
        }
        let difference = actual.f_sub(&expected)?.f_abs()?;
        max_abs_diff = max_abs_diff.max(difference.f_max()?.f_double_value(&[])?);
        magnitude = magnitude.max(expected.f_abs()?.f_max()?.f_double_value(&[])?);
    }
    Ok(Equivalence { max_abs_diff, tolerance: RELATIVE_TOLERANCE * magnitude })
}

fn nothing_to_compare(index: usize, found: &NotFinite) -> Rejection {
    Rejection::new(
        Code::UnsupportedModel,
        format!("Output {index} of the network holds {found}, so it cannot be proved that a pruned network computes the same."),
    )
    .at(format!("output {index}"))
    .hint("Add a small number inside the model where it divides by a sum or a norm that can become zero.")
}

pub fn is_within_tolerance(equivalence: Equivalence) -> bool {
    equivalence.max_abs_diff <= equivalence.tolerance
}

/// The one of two measurements that is nearer to its tolerance, or further beyond.
pub fn worse(a: Equivalence, b: Equivalence) -> Equivalence {
    if b.max_abs_diff / b.tolerance > a.max_abs_diff / a.tolerance { b } else { a }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tolerance_follows_the_outputs_magnitude() {
        let expected = [Tensor::from_slice(&[0.0_f32, -2000.0])];
        let actual = [Tensor::from_slice(&[0.1_f32, -2000.0])];
        let equivalence = between(&actual, &expected).unwrap();
        assert!((equivalence.tolerance - 0.2).abs() < 1e-9);
        assert!(is_within_tolerance(equivalence));
        assert!(!is_within_tolerance(between(&[&expected[0] * 0.0 + 0.1], &[&expected[0] * 0.0]).unwrap()));
    }

    #[test]
    fn no_comparison_with_what_is_not_finite_passes() {
        let finite = [Tensor::from_slice(&[0.0_f32, 1.0])];
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let bad = [Tensor::from_slice(&[1.0, bad])];
            let Err(Error::Rejected(rejection)) = between(&bad, &bad) else { panic!("it is refused") };
            assert!(rejection.detail.contains("Output 0") && rejection.detail.contains("at [1]"), "{rejection}");
            assert!(matches!(between(&finite, &bad), Err(Error::Rejected(_))));
            assert!(matches!(between(&bad, &finite), Err(Error::Internal(_))));
        }
        assert!(between(&[Tensor::from_slice(&[0.0_f32; 3])], &finite).is_err());
    }
}

//! What RandAugment does to pictures, `[N, C, H, W]` of whole numbers from 0 to 255 in float32: torchvision's operations on bytes.

use tch::{Kind, Tensor};

use super::colours::{blend, brightness, contrast, saturation};
use crate::error::Error;
use crate::network::weights;

/// The number of white.
const WHITE: f64 = 255.0;

/// How strong an operation is: the number of torchvision's bin, 0 to 30, or its negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Strength(pub(super) i16);

impl Strength {
    /// The magnitude where that of the last bin is `most`: torchvision's `linspace`, with its rounding.
    fn of(self, most: f64) -> f64 {
        let (most, number) = (most as f32, self.0.unsigned_abs());
        let step = most / LAST;
        let magnitude = if number < 15 { step * f32::from(number) } else { most - step * (LAST - f32::from(number)) };
        f64::from(self.0.signum()) * f64::from(magnitude)
    }
}

/// The number of the last bin.
const LAST: f32 = 30.0;

/// An operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Operation {
    Identity,
    ShearX,
    ShearY,
    TranslateX,
    TranslateY,
    Rotate,
    Brightness,
    Color,
    Contrast,
    Sharpness,
    Posterize,
    Solarize,
    AutoContrast,
    Equalize,
}

impl Operation {
    /// In torchvision's order.
    pub(super) const ALL: [Self; 14] = [
        Self::Identity,
        Self::ShearX,
        Self::ShearY,
        Self::TranslateX,
        Self::TranslateY,
        Self::Rotate,
        Self::Brightness,
        Self::Color,
        Self::Contrast,
        Self::Sharpness,
        Self::Posterize,
        Self::Solarize,
        Self::AutoContrast,
        Self::Equalize,
    ];

    /// Whether its magnitude may as well be negative.
    pub(super) fn is_signed(self) -> bool {
        !matches!(self, Self::Identity | Self::Posterize | Self::Solarize | Self::AutoContrast | Self::Equalize)
    }

    /// Where the pixels come from, of an operation that moves them: rows of an affine map from an output's position to its source's, both in
    /// pixels from the middle.
    pub(super) fn source(self, strength: Strength, height: i64, width: i64) -> Option<[f64; 6]> {
        let (high, wide) = (height as f64, width as f64);
        let shear = strength.of(0.3);
        let whole = |side: f64| strength.of(150.0 / 331.0 * side).trunc();
        match self {
            // About the corner at the top left.
            Self::ShearX => Some([1.0, shear, shear * high / 2.0, 0.0, 1.0, 0.0]),
            Self::ShearY => Some([1.0, 0.0, 0.0, shear, 1.0, shear * wide / 2.0]),
            Self::TranslateX => Some([1.0, 0.0, -whole(wide), 0.0, 1.0, 0.0]),
            Self::TranslateY => Some([1.0, 0.0, 0.0, 0.0, 1.0, -whole(high)]),
            Self::Rotate => {
                let (sine, cosine) = strength.of(30.0).to_radians().sin_cos();
                Some([cosine, -sine, 0.0, sine, cosine, 0.0])
            }
            _ => None,
        }
    }

    /// The pictures with other colours, by an operation that moves no pixel; one strength for each picture.
    pub(super) fn recolour(self, pictures: &Tensor, strengths: &[Strength]) -> Result<Tensor, Error> {
        let each = |of: fn(Strength) -> f64| -> Result<Tensor, Error> {
            let values: Vec<f64> = strengths.iter().map(|&strength| of(strength)).collect();
            Ok(Tensor::f_from_slice(&values)?.f_view([-1, 1, 1, 1])?.f_to(pictures.device())?)
        };
        let factors = |strength: Strength| 1.0 + strength.of(0.9);
        Ok(match self {
            Self::Brightness => brightness(pictures, &each(factors)?, WHITE)?.f_floor()?,
            // What is grey stays, to the last bit.
            Self::Color if pictures.size()[1] != 3 => pictures.shallow_clone(),
            Self::Color => saturation(pictures, &each(factors)?, WHITE)?.f_floor()?,
            Self::Contrast => contrast(pictures, &each(factors)?, WHITE)?.f_floor()?,
            Self::Sharpness => sharpened(pictures, &each(factors)?)?,
            Self::Posterize => {
                // Up to four bits go.
                let steps = each(|strength| 2_f64.powf(strength.of(4.0).round_ties_even()))?.f_to_kind(Kind::Float)?;
                pictures.f_div(&steps)?.f_floor()?.f_mul(&steps)?
            }
            Self::Solarize => {
                let is_bright = pictures.f_ge_tensor(&each(|strength| WHITE - strength.of(255.0))?)?;
                pictures.f_neg()?.f_add_scalar(WHITE)?.f_where_self(&is_bright, pictures)?
            }
            Self::AutoContrast => stretched(pictures)?,
            Self::Equalize => equalised(pictures)?,
            Self::Identity | Self::ShearX | Self::ShearY | Self::TranslateX | Self::TranslateY | Self::Rotate => {
                pictures.shallow_clone()
            }
        })
    }
}

/// The pixels that maps of [`Operation::source`] name, the nearest ones; 0 from outside. `[N, C, H, W]`.
pub(super) fn moved(pictures: &Tensor, sources: &[[f64; 6]]) -> Result<Tensor, Error> {
    let (count, _, height, width) = pictures.size4()?;
    let device = pictures.device();
    let middles = |side: i64| {
        let half = side as f64 / 2.0;
        Tensor::f_linspace(0.5 - half, half - 0.5, side, (Kind::Float, device))
    };
    let columns = middles(width)?.f_view([1, width, 1])?.f_expand([height, width, 1], false)?;
    let rows = middles(height)?.f_view([height, 1, 1])?.f_expand([height, width, 1], false)?;
    let places = Tensor::f_cat(&[&columns, &rows, &columns.f_ones_like()?], 2)?.f_view([1, height * width, 3])?;
    let numbers: Vec<f32> = sources.iter().flatten().map(|&number| number as f32).collect();
    let maps = Tensor::f_from_slice(&numbers)?.f_view([count, 2, 3])?.f_to(device)?.f_transpose(1, 2)?;
    let halves = Tensor::f_from_slice(&[width as f32 / 2.0, height as f32 / 2.0])?.f_to(device)?;
    let grid = places.f_expand([count, height * width, 3], false)?.f_bmm(&maps.f_div(&halves)?)?;
    let (nearest, zeros) = (1, 0);
    Ok(pictures.f_grid_sampler(&grid.f_view([count, height, width, 2])?, nearest, zeros, false)?)
}

/// A blend with the picture that a 3×3 kernel with 5 in its middle smooths; the border stays.
fn sharpened(pictures: &Tensor, factors: &Tensor) -> Result<Tensor, Error> {
    let (_, channels, height, width) = pictures.size4()?;
    if height <= 2 || width <= 2 {
        return Ok(pictures.shallow_clone());
    }
    let kernel = Tensor::f_from_slice(&[1.0_f32, 1.0, 1.0, 1.0, 5.0, 1.0, 1.0, 1.0, 1.0])?.f_div_scalar(13.0)?;
    let kernel = kernel.f_view([1, 1, 3, 3])?.f_expand([channels, 1, 3, 3], false)?.f_to(pictures.device())?;
    let smooth = pictures.f_conv2d(&kernel, None::<Tensor>, 1, 0, 1, channels)?.f_round_()?;
    let degenerate = weights::copy(pictures)?;
    degenerate.f_narrow(2, 1, height - 2)?.f_narrow(3, 1, width - 2)?.f_copy_(&smooth)?;
    Ok(blend(pictures, &degenerate, factors, WHITE)?.f_floor()?)
}

/// Each channel from its smallest and largest number to 0 and 255; one of a single number stays.
fn stretched(pictures: &Tensor) -> Result<Tensor, Error> {
    let least = pictures.f_amin(&[2_i64, 3][..], true)?;
    let width = pictures.f_amax(&[2_i64, 3][..], true)?.f_sub(&least)?;
    let is_flat = width.f_eq(0.0)?;
    let scale = width.f_full_like(WHITE)?.f_div(&width)?.f_masked_fill(&is_flat, 1.0)?;
    let least = least.f_masked_fill(&is_flat, 0.0)?;
    Ok(pictures.f_sub(&least)?.f_mul(&scale)?.f_clamp(0.0, WHITE)?.f_floor()?)
}

/// Each channel through the running sum of its histogram, so that all numbers are about as frequent.
fn equalised(pictures: &Tensor) -> Result<Tensor, Error> {
    let (count, channels, height, width) = pictures.size4()?;
    let levels = pictures.f_to_kind(Kind::Int64)?.f_view([count * channels, height * width])?;
    let histogram = Tensor::f_zeros([count * channels, 256], (Kind::Int64, pictures.device()))?;
    let histogram = histogram.f_scatter_add(1, &levels, &levels.f_ones_like()?)?;
    // All pixels but those of the largest number, over 255.
    let largest = levels.f_amax(&[1_i64][..], true)?;
    let others = histogram.f_gather(1, &largest, false)?.f_neg()?.f_add_scalar(height * width)?;
    let step = others.f_div_scalar_mode(255, "floor")?;
    let is_small = step.f_eq(0)?;
    let step = step.f_clamp_min(1)?;
    let before = histogram.f_cumsum(1, Kind::Int64)?.f_sub(&histogram)?;
    let half = step.f_div_scalar_mode(2, "floor")?;
    // The table is moved by one, which leaves out the half step of the first number.
    let table = before.f_add(&half)?.f_div_tensor_mode(&step, "floor")?.f_clamp(0, 255)?;
    let _ = table.f_select(1, 0)?.f_zero_()?;
    let equal = table.f_gather(1, &levels, false)?;
    let equal = equal.f_where_self(&is_small.f_logical_not()?, &levels)?;
    Ok(equal.f_view([count, channels, height, width])?.f_to_kind(Kind::Float)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/augment/rand-augment.safetensors");

    /// torchvision's `_apply_op`, on pictures of 3 and 1 channels, at two magnitudes of each sign: bit for bit.
    #[test]
    fn every_operation_is_torchvisions() {
        let expected: std::collections::HashMap<String, Tensor> =
            Tensor::read_safetensors(FIXTURE).unwrap().into_iter().collect();
        let mut compared = 0;
        for kind in ["colour", "grey"] {
            let picture = expected[kind].to_kind(Kind::Float).unsqueeze(0);
            let (_, _, height, width) = picture.size4().unwrap();
            for operation in Operation::ALL {
                for bin in [9, -9, 23, -23] {
                    let Some(expected) = expected.get(&format!("{kind}.{operation:?}.{bin}")) else {
                        assert!(bin < 0 && !operation.is_signed(), "{kind} {operation:?} {bin} is missing");
                        continue;
                    };
                    let strength = Strength(bin);
                    let actual = match operation.source(strength, height, width) {
                        Some(source) => moved(&picture, &[source]).unwrap(),
                        None => operation.recolour(&picture, &[strength]).unwrap(),
                    };
                    assert!(
                        actual.squeeze_dim(0).equal(&expected.to_kind(Kind::Float)),
                        "{kind} {operation:?} {bin}: {actual:?}, torchvision gives {expected:?}"
                    );
                    compared += 1;
                }
            }
        }
        assert_eq!(compared, 2 * (9 * 4 + 5 * 2));
    }
}

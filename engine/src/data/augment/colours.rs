//! Brightness, contrast and saturation of a batch of images, `[N, C, H, W]`, as torchvision changes them. `most` is the number of white:
//! 1 or 255.

use tch::{Kind, Tensor};

use crate::error::Error;

/// What a pixel's channels weigh in its grey: ITU-R BT.601, as torchvision has them.
const GREY: [f64; 3] = [0.2989, 0.587, 0.114];

/// torchvision's `_blend`, in float32: so much of each image as its factor says, `[N, 1, 1, 1]` in float64, and the rest of the other one.
pub(super) fn blend(image: &Tensor, other: &Tensor, factors: &Tensor, most: f64) -> Result<Tensor, Error> {
    let rests = factors.f_neg()?.f_add_scalar(1.0)?.f_to_kind(Kind::Float)?;
    let own = image.f_mul(&factors.f_to_kind(Kind::Float)?)?;
    Ok(own.f_add(&other.f_mul(&rests)?)?.f_clamp(0.0, most)?)
}

pub(super) fn brightness(image: &Tensor, factors: &Tensor, most: f64) -> Result<Tensor, Error> {
    blend(image, &image.f_zeros_like()?, factors, most)
}

pub(super) fn contrast(image: &Tensor, factors: &Tensor, most: f64) -> Result<Tensor, Error> {
    let mean = grey(image, most)?.f_mean_dim(&[1_i64, 2, 3][..], true, Kind::Float)?;
    blend(image, &mean, factors, most)
}

pub(super) fn saturation(image: &Tensor, factors: &Tensor, most: f64) -> Result<Tensor, Error> {
    blend(image, &grey(image, most)?, factors, most)
}

/// `[N, 1, H, W]`; of anything but three channels what it is. Of colours from 0 to 255 it is cut to a whole number, as torchvision's is.
fn grey(image: &Tensor, most: f64) -> Result<Tensor, Error> {
    if image.size()[1] != 3 {
        return Ok(image.shallow_clone());
    }
    // In torchvision's order, on which the last bit depends.
    let part = |channel: i64| image.f_narrow(1, channel, 1)?.f_mul_scalar(GREY[channel as usize]);
    let grey = part(0)?.f_add(&part(1)?)?.f_add(&part(2)?)?;
    Ok(if most > 1.0 { grey.f_floor()? } else { grey })
}

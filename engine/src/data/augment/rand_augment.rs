//! RandAugment (Cubuk et al., 2020; arXiv 1909.13719) as torchvision has it: two operations at random for every sample, of a fixed strength.

use std::collections::BTreeMap;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use secateur_core::dataset::IGNORED;
use tch::{Kind, Tensor};

use super::operations::{Operation, Strength, moved};
use crate::error::Error;
use crate::network::weights;

/// Operations that a sample gets, one after the other.
const OPERATIONS: usize = 2;

/// The strength of all of them: torchvision's usual one.
const STRENGTH: i16 = 9;

/// Changes pictures of whole numbers from 0 to 255, in float32, and moves their masks with them: a place that comes from outside a picture is
/// [`IGNORED`].
pub(super) fn apply(
    pictures: &Tensor,
    mut masks: Option<Tensor>,
    generator: &mut ChaCha8Rng,
) -> Result<(Tensor, Option<Tensor>), Error> {
    let (count, _, height, width) = pictures.size4()?;
    let mut pictures = weights::copy(pictures)?;
    for _ in 0..OPERATIONS {
        let mut drawn: BTreeMap<Operation, Vec<(i64, Strength)>> = BTreeMap::new();
        let mut sources: Vec<(i64, [f64; 6])> = Vec::new();
        for sample in 0..count {
            let operation = Operation::ALL[generator.random_range(0..Operation::ALL.len())];
            // Drawn for all, so that what one sample gets does not depend on the operations of the others.
            let is_negative = generator.random_bool(0.5) && operation.is_signed();
            let strength = Strength(if is_negative { -STRENGTH } else { STRENGTH });
            match operation.source(strength, height, width) {
                Some(source) => sources.push((sample, source)),
                None => drawn.entry(operation).or_default().push((sample, strength)),
            }
        }
        for (operation, samples) in drawn {
            let (samples, strengths): (Vec<i64>, Vec<Strength>) = samples.into_iter().unzip();
            let samples = Tensor::f_from_slice(&samples)?.f_to(pictures.device())?;
            let recoloured = operation.recolour(&pictures.f_index_select(0, &samples)?, &strengths)?;
            let _ = pictures.f_index_copy_(0, &samples, &recoloured)?;
        }
        if !sources.is_empty() {
            let (samples, sources): (Vec<i64>, Vec<_>) = sources.into_iter().unzip();
            let samples = Tensor::f_from_slice(&samples)?.f_to(pictures.device())?;
            let _ = pictures.f_index_copy_(0, &samples, &moved(&pictures.f_index_select(0, &samples)?, &sources)?)?;
            if let Some(masks) = &mut masks {
                let _ =
                    masks.f_index_copy_(0, &samples, &moved_masks(&masks.f_index_select(0, &samples)?, &sources)?)?;
            }
        }
    }
    Ok((pictures, masks))
}

/// Of `[N, ..., H, W]`.
fn moved_masks(masks: &Tensor, sources: &[[f64; 6]]) -> Result<Tensor, Error> {
    let size = masks.size();
    let [count, .., height, width] = size[..] else {
        return Err(Error::internal("masks without two dimensions"));
    };
    let device = masks.device();
    let line = |side: i64| Tensor::f_arange(side, (Kind::Float, device));
    let rows = line(height)?.f_view([height, 1])?.f_expand([height, width], false)?;
    let columns = line(width)?.f_view([1, width])?.f_expand([height, width], false)?;
    let places = Tensor::f_stack(&[&rows, &columns, &rows.f_ones_like()?], 0)?;
    // The pictures' own rounding decides: a mask moves by the numbers of the rows and columns that its picture's pixels come from.
    let places = moved(&places.f_unsqueeze(0)?.f_expand([count, 3, height, width], false)?, sources)?;
    let is_outside = places.f_narrow(1, 2, 1)?.f_eq(0.0)?;
    let place = |axis: i64| Ok::<_, Error>(places.f_select(1, axis)?.f_to_kind(Kind::Int64)?);
    let sample = Tensor::f_arange(count, (Kind::Int64, device))?.f_view([count, 1, 1])?;
    let flat = masks.f_reshape([count, -1, height, width])?.f_permute([0, 2, 3, 1])?;
    let moved = flat.f_index(&[Some(&sample), Some(&place(0)?), Some(&place(1)?)])?.f_permute([0, 3, 1, 2])?;
    Ok(moved.f_masked_fill(&is_outside, IGNORED as f64)?.f_reshape(&size[..])?)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use tch::Device;

    use super::*;

    /// Where every picture's pixels have numbers of their own, a mask of the same numbers ends up the same wherever only moves were drawn.
    #[test]
    fn a_mask_goes_where_its_picture_goes() {
        let count = 200;
        let picture =
            Tensor::arange(1 + 12 * 16, (Kind::Float, Device::Cpu)).narrow(0, 1, 12 * 16).view([1, 1, 12, 16]);
        let pictures = picture.repeat([count, 1, 1, 1]);
        let masks = pictures.select(1, 0).to_kind(Kind::Int64);
        let (changed, moved) = apply(&pictures, Some(masks), &mut ChaCha8Rng::seed_from_u64(1)).unwrap();
        let moved = moved.unwrap();
        let mut followed = 0;
        for sample in 0..count {
            let (picture, mask) = (changed.get(sample).get(0), moved.get(sample));
            let from_outside = mask.eq(IGNORED);
            // Colours change too; where they did not, black from outside and the mask's own numbers are what is left.
            if picture.eq_tensor(&mask.masked_fill(&from_outside, 0.0).to_kind(Kind::Float)).all().int64_value(&[]) == 1
            {
                followed += i64::from(from_outside.any().int64_value(&[]) == 1);
            }
        }
        assert!(followed > 10, "{followed} of {count}");
        assert!(changed.ge(0.0).all().int64_value(&[]) == 1 && changed.le(255.0).all().int64_value(&[]) == 1);
        let (again, _) = apply(&pictures, None, &mut ChaCha8Rng::seed_from_u64(1)).unwrap();
        assert!(again.equal(&changed), "the seed alone decides");
    }
}

//! Samples that are changed at random before a network learns from them.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use secateur_core::rejection::{Code, Rejection};
use secateur_core::spec::Augmentation;
use tch::{Kind, Tensor};

use super::Split;
use crate::error::Error;

/// Random mirroring and cropping of image batches, `[N, C, H, W]`.
///
/// Both happen in one gather: sample, row and column of the source of every pixel. As usual for images the padding is
/// zero as stored, before scaling.
pub struct Augment {
    hflip: bool,
    crop: bool,
    generator: ChaCha8Rng,
}

impl Augment {
    /// `None` when there is nothing to augment.
    ///
    /// # Errors
    /// A [`Rejection`] when the samples are no images.
    pub fn new(kinds: &[Augmentation], split: &Split, seed: u64) -> Result<Option<Self>, Error> {
        if kinds.is_empty() {
            return Ok(None);
        }
        let shape = split.inputs[0].sample_shape();
        if shape.len() != 3 {
            return Err(Rejection::new(
                Code::InvalidSpec,
                format!("`fine_tune.augment` is for images of shape [C, H, W]; the samples have shape {shape:?}."),
            )
            .at("fine_tune.augment")
            .into());
        }
        Ok(Some(Self {
            hflip: kinds.contains(&Augmentation::Hflip),
            crop: kinds.contains(&Augmentation::Crop),
            generator: ChaCha8Rng::seed_from_u64(seed),
        }))
    }

    /// From here on draws depend on seed and epoch alone.
    pub fn begin(&mut self, epoch: u32) {
        // Apart from the streams that order the samples, which are numbered by epoch from 0 on.
        self.generator.set_stream(u64::MAX - u64::from(epoch));
        self.generator.set_word_pos(0);
    }

    pub(super) fn apply(&mut self, samples: &Tensor) -> Result<Tensor, Error> {
        let (count, _, height, width) = samples.size4()?;
        let padding = if self.crop { (width / 8).max(1) } else { 0 };
        let mut rows = Vec::with_capacity((count * height) as usize);
        let mut columns = Vec::with_capacity((count * width) as usize);
        for _ in 0..count {
            let top = self.generator.random_range(0..=2 * padding);
            let left = self.generator.random_range(0..=2 * padding);
            let mirrored = self.hflip && self.generator.random_bool(0.5);
            rows.extend((0..height).map(|row| top + row));
            columns.extend((0..width).map(|column| left + if mirrored { width - 1 - column } else { column }));
        }
        let device = samples.device();
        let padded = samples.f_constant_pad_nd([padding; 4])?.f_permute([0, 2, 3, 1])?;
        let sample = Tensor::f_arange(count, (Kind::Int64, device))?.f_view([count, 1, 1])?;
        let rows = Tensor::f_from_slice(&rows)?.f_view([count, height, 1])?.f_to(device)?;
        let columns = Tensor::f_from_slice(&columns)?.f_view([count, 1, width])?.f_to(device)?;
        Ok(padded.f_index(&[Some(sample), Some(rows), Some(columns)])?.f_permute([0, 3, 1, 2])?)
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    fn samples(count: i64) -> Tensor {
        Tensor::arange(count * 16, (Kind::Float, Device::Cpu)).view([count, 1, 4, 4])
    }

    fn augment(kind: Augmentation, samples: &Tensor) -> Augment {
        Augment::new(&[kind], &Split::of_tensors(samples.shallow_clone(), None), 1).unwrap().unwrap()
    }

    #[test]
    fn a_mirrored_sample_is_the_sample_or_its_mirror_image() {
        let samples = samples(20);
        let mut augment = augment(Augmentation::Hflip, &samples);
        let augmented = augment.apply(&samples).unwrap();
        let mirror = samples.flip([3]);
        let mut mirrored = 0;
        for sample in 0..20 {
            let is_same = augmented.get(sample).equal(&samples.get(sample));
            assert!(is_same || augmented.get(sample).equal(&mirror.get(sample)));
            mirrored += usize::from(!is_same);
        }
        assert!((3..=17).contains(&mirrored), "{mirrored} of 20");
    }

    #[test]
    fn a_crop_is_a_window_of_the_padded_sample() {
        let samples = samples(1);
        let mut augment = augment(Augmentation::Crop, &samples);
        let padded = samples.constant_pad_nd([1, 1, 1, 1]);
        for _ in 0..10 {
            let cropped = augment.apply(&samples).unwrap();
            let is_window =
                (0..3).any(|top| (0..3).any(|left| cropped.equal(&padded.narrow(2, top, 4).narrow(3, left, 4))));
            assert!(is_window);
        }
    }
}

//! Samples that are changed at random before a network learns from them.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use secateur_core::dataset::IGNORED;
use secateur_core::recovery::SupervisionLoss;
use secateur_core::rejection::{Code, Rejection};
use secateur_core::spec::Augmentation;
use tch::{Kind, Tensor};

use super::{Labels, Split};
use crate::error::Error;
use crate::network::weights;

/// How far from 1 the factors of a colour jitter are at most.
const JITTER: f64 = 0.4;

/// What a pixel's channels weigh in its grey: ITU-R BT.601, as torchvision has them.
const GREY: [f32; 3] = [0.2989, 0.587, 0.114];

/// Random changes of image batches, `[N, C, H, W]`, and of the masks that belong to them.
///
/// Mirroring and cropping happen in one gather: sample, row and column of the source of every pixel. As usual for images the padding is
/// zero as stored, before scaling.
pub struct Augment {
    hflip: bool,
    crop: bool,
    jitter: bool,
    /// Whether the labels lie over the picture's pixels.
    has_masks: bool,
    /// The smallest and the largest number of the samples, between which colours are.
    value_range: (f64, f64),
    generator: ChaCha8Rng,
}

impl Augment {
    /// `None` when there is nothing to augment. `labels` are those that are learnt from.
    ///
    /// # Errors
    /// A [`Rejection`] when the samples are no images, or their labels cannot be moved with them.
    pub fn new(
        kinds: &[Augmentation],
        split: &Split,
        labels: Option<&Labels>,
        seed: u64,
    ) -> Result<Option<Self>, Error> {
        if kinds.is_empty() {
            return Ok(None);
        }
        let refused = |why: String, hint: &str| {
            Err(Rejection::new(Code::InvalidSpec, why).at("fine_tune.augment").hint(hint).into())
        };
        let shape = split.inputs[0].sample_shape();
        let [_, height, width] = shape[..] else {
            let why =
                format!("`fine_tune.augment` is for images of shape [C, H, W]; the samples have shape {shape:?}.");
            return refused(why, "Leave `fine_tune.augment` out.");
        };
        let (hflip, crop) = (kinds.contains(&Augmentation::Hflip), kinds.contains(&Augmentation::Crop));
        let of_label = labels.map(Labels::shape).unwrap_or_default();
        let has_masks = of_label.len() >= 2;
        if has_masks && (hflip || crop) && !of_label.ends_with(&[height, width]) {
            let why = format!(
                "`hflip` and `crop` move a picture's pixels, and its label of shape {of_label:?} does not lie over them: it would have to \
                 end with {height} x {width}."
            );
            return refused(
                why,
                "Leave `hflip` and `crop` out, or learn from the original alone: `\"objective\": \"distill\"`.",
            );
        }
        let has_places = |loss| matches!(loss, SupervisionLoss::CrossEntropy | SupervisionLoss::Bce);
        let can_say_nothing = labels.is_some_and(|labels| has_places(labels.supervision().loss));
        if has_masks && crop && !can_say_nothing {
            let why = "`crop` is for masks of classes or of 0 and 1: values cannot say where they say nothing.";
            return refused(why.to_owned(), "Leave `crop` out; `hflip` and `color_jitter` are allowed.");
        }
        let jitter = kinds.contains(&Augmentation::ColorJitter);
        Ok(Some(Self {
            hflip,
            crop,
            jitter,
            has_masks,
            value_range: split.value_range,
            generator: ChaCha8Rng::seed_from_u64(seed),
        }))
    }

    /// From here on draws depend on seed and epoch alone.
    pub fn begin(&mut self, epoch: u32) {
        // Apart from the streams that order the samples, which are numbered by epoch from 0 on.
        self.generator.set_stream(u64::MAX - u64::from(epoch));
        self.generator.set_word_pos(0);
    }

    /// Changes samples, and with them their labels where these are masks.
    pub(super) fn apply(
        &mut self,
        samples: &Tensor,
        labels: Option<Tensor>,
    ) -> Result<(Tensor, Option<Tensor>), Error> {
        let (mut samples, mut labels) = (samples.shallow_clone(), labels);
        if self.hflip || self.crop {
            let moves = self.moves(&samples)?;
            samples = moves.apply(&samples, 0.0)?;
            if self.has_masks {
                let moved = |labels: Tensor| {
                    // Bytes have no number for it.
                    let labels = if labels.f_kind()? == Kind::Uint8 { labels.f_to_kind(Kind::Int64)? } else { labels };
                    moves.apply(&labels, IGNORED as f64)
                };
                labels = labels.map(moved).transpose()?;
            }
        }
        if self.jitter {
            samples = self.jittered(&samples)?;
        }
        Ok((samples, labels))
    }

    fn moves(&mut self, samples: &Tensor) -> Result<Moves, Error> {
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
        Ok(Moves {
            padding,
            sample: Tensor::f_arange(count, (Kind::Int64, device))?.f_view([count, 1, 1])?,
            rows: Tensor::f_from_slice(&rows)?.f_view([count, height, 1])?.f_to(device)?,
            columns: Tensor::f_from_slice(&columns)?.f_view([count, 1, width])?.f_to(device)?,
        })
    }

    fn jittered(&mut self, samples: &Tensor) -> Result<Tensor, Error> {
        let (least, largest) = self.value_range;
        let (kind, width) = (samples.f_kind()?, (largest - least).max(f64::from(f32::MIN_POSITIVE)));
        let mut factors = || {
            let drawn = (0..samples.size()[0]).map(|_| self.generator.random_range(1.0 - JITTER..=1.0 + JITTER) as f32);
            Ok::<_, Error>(
                Tensor::f_from_slice(&drawn.collect::<Vec<_>>())?.f_view([-1, 1, 1, 1])?.f_to(samples.device())?,
            )
        };
        let unit = samples.f_to_kind(Kind::Float)?.f_sub_scalar(least)?.f_div_scalar(width)?;
        let bright = brightness(&unit, &factors()?)?;
        let contrasted = contrast(&bright, &factors()?)?;
        let jittered = saturation(&contrasted, &factors()?)?;
        let stored = jittered.f_mul_scalar(width)?.f_add_scalar(least)?;
        Ok(if !weights::is_float(kind) { stored.f_round()?.f_to_kind(kind)? } else { stored.f_to_kind(kind)? })
    }
}

/// Where the pixels of a batch come from.
struct Moves {
    padding: i64,
    sample: Tensor,
    rows: Tensor,
    columns: Tensor,
}

impl Moves {
    /// Of `[N, ..., H, W]`, padded with a value.
    fn apply(&self, pixels: &Tensor, value: f64) -> Result<Tensor, Error> {
        let size = pixels.size();
        let [count, .., height, width] = size[..] else {
            return Err(Error::internal("pixels without two dimensions"));
        };
        let flat = pixels.f_reshape([count, -1, height, width])?;
        let padded = flat.f_pad([self.padding; 4], "constant", value)?.f_permute([0, 2, 3, 1])?;
        let moved = padded.f_index(&[Some(&self.sample), Some(&self.rows), Some(&self.columns)])?;
        Ok(moved.f_permute([0, 3, 1, 2])?.f_reshape(&size)?)
    }
}

/// What torchvision's `_blend` makes of colours from 0 to 1.
fn blend(image: &Tensor, other: &Tensor, factors: &Tensor) -> Result<Tensor, Error> {
    Ok(image.f_sub(other)?.f_mul(factors)?.f_add(other)?.f_clamp(0.0, 1.0)?)
}

fn brightness(image: &Tensor, factors: &Tensor) -> Result<Tensor, Error> {
    blend(image, &image.f_zeros_like()?, factors)
}

fn contrast(image: &Tensor, factors: &Tensor) -> Result<Tensor, Error> {
    let mean = grey(image)?.f_mean_dim(&[1_i64, 2, 3][..], true, Kind::Float)?;
    blend(image, &mean, factors)
}

fn saturation(image: &Tensor, factors: &Tensor) -> Result<Tensor, Error> {
    blend(image, &grey(image)?, factors)
}

/// `[N, 1, H, W]`; of anything but three channels what it is.
fn grey(image: &Tensor) -> Result<Tensor, Error> {
    if image.size()[1] != 3 {
        return Ok(image.shallow_clone());
    }
    let weights = Tensor::f_from_slice(&GREY)?.f_view([1, 3, 1, 1])?.f_to(image.device())?;
    Ok(image.f_mul(&weights)?.f_sum_dim_intlist(&[1_i64][..], true, Kind::Float)?)
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    fn samples(count: i64) -> Tensor {
        Tensor::arange(count * 16, (Kind::Float, Device::Cpu)).view([count, 1, 4, 4])
    }

    fn augment(kind: Augmentation, samples: &Tensor) -> Augment {
        Augment::new(&[kind], &Split::of_tensors(samples.shallow_clone(), None), None, 1).unwrap().unwrap()
    }

    #[test]
    fn a_mirrored_sample_is_the_sample_or_its_mirror_image() {
        let samples = samples(20);
        let mut augment = augment(Augmentation::Hflip, &samples);
        let augmented = augment.apply(&samples, None).unwrap().0;
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
            let cropped = augment.apply(&samples, None).unwrap().0;
            let is_window =
                (0..3).any(|top| (0..3).any(|left| cropped.equal(&padded.narrow(2, top, 4).narrow(3, left, 4))));
            assert!(is_window);
        }
    }

    /// A mask goes where its picture goes, and says nothing where that was padded.
    #[test]
    fn a_mask_moves_with_its_picture() {
        let samples = samples(20) + 1.0;
        let masks = samples.select(1, 0).to_kind(Kind::Uint8);
        let split = Split::of_tensors(samples.shallow_clone(), Some(masks.shallow_clone()));
        let mut augment =
            Augment::new(&[Augmentation::Hflip, Augmentation::Crop], &split, split.labels(), 1).unwrap().unwrap();
        let (moved, labels) = augment.apply(&samples, Some(masks)).unwrap();
        let (moved, labels) = (moved.select(1, 0), labels.unwrap());
        let is_padded = moved.eq(0.0);
        assert!(is_padded.any().int64_value(&[]) == 1);
        assert!(labels.eq(IGNORED).equal(&is_padded));
        let counted = is_padded.logical_not();
        assert!(
            labels
                .masked_select(&counted)
                .equal(&moved.masked_select(&counted).to_kind(Kind::Uint8).to_kind(Kind::Int64))
        );
    }

    /// Probabilities stay what they are.
    #[test]
    fn a_mask_of_floats_is_not_rounded() {
        let samples = samples(3) + 1.0;
        let masks = samples.select(1, 0) / 64.0;
        let split = Split::of_tensors(samples.shallow_clone(), Some(masks.to_kind(Kind::Int64)));
        let mut augment = Augment::new(&[Augmentation::Crop], &split, split.labels(), 1).unwrap().unwrap();
        let (moved, labels) = augment.apply(&samples, Some(masks)).unwrap();
        let (moved, labels) = (moved.select(1, 0), labels.unwrap());
        let counted = moved.ne(0.0);
        assert!(labels.masked_select(&counted).equal(&(moved.masked_select(&counted) / 64.0)));
    }

    #[test]
    fn a_label_that_does_not_lie_over_the_picture_is_refused() {
        let masks = Tensor::zeros([20, 2, 2], (Kind::Int64, Device::Cpu));
        let split = Split::of_tensors(samples(20), Some(masks));
        let refused = Augment::new(&[Augmentation::Hflip], &split, split.labels(), 1).err().unwrap().to_string();
        assert!(
            refused.contains("label of shape [2, 2] does not lie over them: it would have to end with 4 x 4"),
            "{refused}"
        );
        assert!(Augment::new(&[Augmentation::ColorJitter], &split, split.labels(), 1).is_ok());
    }

    /// torchvision 0.26: `adjust_brightness`, `adjust_contrast` and `adjust_saturation` of the same colours.
    #[test]
    fn colours_change_as_torchvisions_do() {
        let image = Tensor::arange(12, (Kind::Float, Device::Cpu)).view([1, 3, 2, 2]) / 12.0;
        let factor = Tensor::from_slice(&[1.3_f32]).view([1, 1, 1, 1]);
        let close = |actual: Tensor, expected: [f32; 12]| {
            let difference = (actual.flatten(0, -1) - Tensor::from_slice(&expected)).abs().max().double_value(&[]);
            assert!(difference < 1e-4, "{actual:?}");
        };
        close(
            brightness(&image, &factor).unwrap(),
            [0.0, 0.108_333, 0.216_667, 0.325, 0.433_333, 0.541_667, 0.65, 0.758_333, 0.866_667, 0.975, 1.0, 1.0],
        );
        close(
            contrast(&image, &factor).unwrap(),
            [
                0.0, 0.0, 0.097_67, 0.206_004, 0.314_337, 0.422_67, 0.531_004, 0.639_337, 0.747_67, 0.856_004,
                0.964_337, 1.0,
            ],
        );
        close(
            saturation(&image, &factor).unwrap(),
            [
                0.0, 0.001_836, 0.085_172, 0.168_507, 0.351_833, 0.435_169, 0.518_505, 0.601_841, 0.785_167, 0.868_502,
                0.951_838, 1.0,
            ],
        );
        let grey = samples(9);
        let mut augment = augment(Augmentation::ColorJitter, &grey);
        let (jittered, _) = augment.apply(&grey, None).unwrap();
        assert!(
            !jittered.equal(&grey)
                && jittered.max().double_value(&[]) <= 143.0
                && jittered.min().double_value(&[]) >= 0.0
        );
    }
}

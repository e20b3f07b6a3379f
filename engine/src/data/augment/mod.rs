//! Samples that are changed at random before a network learns from them.

mod colours;
mod operations;
mod rand_augment;

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

use colours::{brightness, contrast, saturation};

/// How far from 1 the factors of a colour jitter are at most.
const JITTER: f64 = 0.4;

/// Random changes of image batches, `[N, C, H, W]`, and of the masks that belong to them.
///
/// Mirroring and cropping happen in one gather: sample, row and column of the source of every pixel. As usual for images the padding is
/// zero as stored, before scaling.
pub struct Augment {
    hflip: bool,
    crop: bool,
    rand_augment: bool,
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
        let [hflip, crop, rand_augment, jitter] =
            [Augmentation::Hflip, Augmentation::Crop, Augmentation::RandAugment, Augmentation::ColorJitter]
                .map(|kind| kinds.contains(&kind));
        let moves = hflip || crop || rand_augment;
        let of_label = labels.map(Labels::shape).unwrap_or_default();
        let has_masks = of_label.len() >= 2;
        if has_masks && moves && !of_label.ends_with(&[height, width]) {
            let why = format!(
                "`hflip`, `crop` and `rand_augment` move a picture's pixels, and its label of shape {of_label:?} does not lie over them: it would have to \
                 end with {height} x {width}."
            );
            return refused(why, "Leave them out, or learn from the original alone: `\"objective\": \"distill\"`.");
        }
        let has_places = |loss| matches!(loss, SupervisionLoss::CrossEntropy | SupervisionLoss::Bce);
        let can_say_nothing = labels.is_some_and(|labels| has_places(labels.supervision().loss));
        if has_masks && (crop || rand_augment) && !can_say_nothing {
            let why = "`crop` and `rand_augment` are for masks of classes or of 0 and 1: values cannot say where they say nothing.";
            return refused(why.to_owned(), "Leave them out; `hflip` and `color_jitter` are allowed.");
        }
        Ok(Some(Self {
            hflip,
            crop,
            rand_augment,
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
                labels = labels.map(|labels| moves.apply(&wide(labels)?, IGNORED as f64)).transpose()?;
            }
        }
        if self.rand_augment {
            let masks = if self.has_masks { labels.take().map(wide).transpose()? } else { None };
            let colours = self.colours(&samples)?;
            // What a crop padded with zeros may lie outside of the samples' own numbers.
            let pixels = colours.unit(&samples)?.f_mul_scalar(255.0)?.f_round_()?.f_clamp_(0.0, 255.0)?;
            let (pixels, masks) = rand_augment::apply(&pixels, masks, &mut self.generator)?;
            samples = colours.stored(&pixels.f_div_scalar(255.0)?)?;
            labels = masks.or(labels);
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
        let mut factors = || {
            let drawn = (0..samples.size()[0]).map(|_| self.generator.random_range(1.0 - JITTER..=1.0 + JITTER));
            let drawn: Vec<f64> = drawn.collect();
            Ok::<_, Error>(Tensor::f_from_slice(&drawn)?.f_view([-1, 1, 1, 1])?.f_to(samples.device())?)
        };
        let factors = [factors()?, factors()?, factors()?];
        let colours = self.colours(samples)?;
        let bright = brightness(&colours.unit(samples)?, &factors[0], 1.0)?;
        let contrasted = contrast(&bright, &factors[1], 1.0)?;
        colours.stored(&saturation(&contrasted, &factors[2], 1.0)?)
    }

    fn colours(&self, samples: &Tensor) -> Result<Colours, Error> {
        let (least, largest) = self.value_range;
        Ok(Colours { least, width: (largest - least).max(f64::from(f32::MIN_POSITIVE)), kind: samples.f_kind()? })
    }
}

/// How samples hold colours.
struct Colours {
    /// The number of black.
    least: f64,
    /// From black to white.
    width: f64,
    kind: Kind,
}

impl Colours {
    /// From 0 to 1, as float32.
    fn unit(&self, samples: &Tensor) -> Result<Tensor, Error> {
        Ok(samples.f_to_kind(Kind::Float)?.f_sub_scalar(self.least)?.f_div_scalar(self.width)?)
    }

    fn stored(&self, unit: &Tensor) -> Result<Tensor, Error> {
        let stored = unit.f_mul_scalar(self.width)?.f_add_scalar(self.least)?;
        let stored = if weights::is_float(self.kind) { stored } else { stored.f_round()? };
        Ok(stored.f_to_kind(self.kind)?)
    }
}

/// Labels that can hold [`IGNORED`], for which bytes have no number.
fn wide(labels: Tensor) -> Result<Tensor, Error> {
    Ok(if labels.f_kind()? == Kind::Uint8 { labels.f_to_kind(Kind::Int64)? } else { labels })
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

    /// Zeros are far below the samples' own numbers, which have 256 steps.
    #[test]
    fn samples_that_are_no_bytes_stay_between_their_own_numbers() {
        let samples = samples(40) + 1000.0;
        let split = Split::of_tensors(samples.shallow_clone(), None);
        let kinds = [Augmentation::Crop, Augmentation::RandAugment];
        let changed = Augment::new(&kinds, &split, None, 1).unwrap().unwrap().apply(&samples, None).unwrap().0;
        let (least, largest) = (changed.min().double_value(&[]), changed.max().double_value(&[]));
        assert!((1000.0..=1639.0).contains(&least) && (1000.0..=1639.01).contains(&largest), "{least} to {largest}");
        assert!(!changed.equal(&samples));
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
        let factor = Tensor::from_slice(&[1.3_f64]).view([1, 1, 1, 1]);
        let close = |actual: Tensor, expected: [f32; 12]| {
            let difference = (actual.flatten(0, -1) - Tensor::from_slice(&expected)).abs().max().double_value(&[]);
            assert!(difference < 1e-4, "{actual:?}");
        };
        close(
            brightness(&image, &factor, 1.0).unwrap(),
            [0.0, 0.108_333, 0.216_667, 0.325, 0.433_333, 0.541_667, 0.65, 0.758_333, 0.866_667, 0.975, 1.0, 1.0],
        );
        close(
            contrast(&image, &factor, 1.0).unwrap(),
            [
                0.0, 0.0, 0.097_67, 0.206_004, 0.314_337, 0.422_67, 0.531_004, 0.639_337, 0.747_67, 0.856_004,
                0.964_337, 1.0,
            ],
        );
        close(
            saturation(&image, &factor, 1.0).unwrap(),
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

//! A data set's splits on the device that they are used on.
//!
//! Samples keep the dtype that they are stored with, so that a uint8 set takes a quarter of the memory; each batch is
//! scaled when it is drawn: the model sees `(stored - mean) / std`. Order and augmentation are drawn on the host from
//! seeded generators, so they are the same on every device.

use std::ops::Range;
use std::path::Path;

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use secateur_core::dataset::{DataReport, Dataset, Samples, SplitData};
use secateur_core::graph::Graph;
use secateur_core::rejection::{Code, Rejection};
use secateur_core::spec::{Augmentation, InputScaling, JobSpec, PerChannel};
use tch::{Device, Kind, Tensor};

use crate::error::Error;
use crate::network::classes;
use crate::torch::{channels_last, kind_of};

pub use secateur_core::dataset::Split as SplitName;

/// Samples per forward pass where no gradients are kept.
pub const EVALUATION_BATCH: i64 = 128;

/// An opened data set that fits the model; splits are loaded one by one.
pub struct Data<'a> {
    dataset: Dataset,
    spec: &'a JobSpec,
    sample_shape: Vec<i64>,
    /// Classes that the model tells apart.
    outputs: Option<usize>,
    kind: Kind,
    device: Device,
}

impl<'a> Data<'a> {
    /// # Errors
    /// A [`Rejection`] when the file is damaged, or does not fit the model or the spec.
    pub fn open(path: &Path, graph: &Graph, spec: &'a JobSpec, device: Device) -> Result<Self, Error> {
        let &[input] = graph.inputs() else {
            let count = graph.inputs().len();
            return Err(Rejection::new(
                Code::DatasetMismatch,
                format!("The model takes {count} inputs; a data set has one array of samples, `x`."),
            )
            .hint("Prune this model without a data set.")
            .into());
        };
        let value = graph.value(input);
        let sample_shape: Vec<i64> = value.shape.iter().skip(1).map(|size| size.fixed).collect();
        let dataset = Dataset::open(path)?;
        let outputs = classes(graph).and_then(|classes| usize::try_from(classes).ok());
        dataset.check_against(&sample_shape, outputs.unwrap_or(usize::MAX))?;
        let data = Self { dataset, spec, sample_shape, outputs, kind: kind_of(value.dtype), device };
        let output_rank = graph.output().tensors().first().map_or(0, |&output| graph.value(output).shape.len());
        if data.has_labels() && classes(graph).is_none() {
            return Err(Rejection::new(
                Code::DatasetMismatch,
                format!(
                    "The data set has labels, but the model's first output has rank {output_rank} and not one score for \
                     each class, [N, classes]."
                ),
            )
            .hint("Leave `y` out of the data set and set `\"objective\": \"distill\"`.")
            .into());
        }
        Ok(data)
    }

    /// What the report says of it.
    pub fn report(&self) -> DataReport {
        let summary = self.dataset.summary();
        DataReport { samples: summary.samples, classes: summary.classes, outputs: self.outputs }
    }

    pub fn has_labels(&self) -> bool {
        self.dataset.summary().labelled
    }

    pub fn split(&self, name: SplitName) -> Result<Split, Error> {
        let layout = self.dataset.layout_for(&self.sample_shape)?;
        let SplitData { samples, shape, count, labels } = self.dataset.load(name, layout, self.spec.seed)?;
        let shape: Vec<i64> = [count].into_iter().chain(shape).map(|size| size as i64).collect();
        let samples = match &samples {
            Samples::U8(values) => Tensor::f_from_slice(values)?,
            Samples::F32(values) => Tensor::f_from_slice(values)?,
        };
        let samples = samples.f_view(&shape[..])?.f_to(self.device)?;
        let labels = labels.map(|labels| Tensor::f_from_slice(&labels)?.f_to(self.device)).transpose()?;
        let scaling = self.spec.input.as_ref().map(|scaling| self.scaling(scaling)).transpose()?;
        Ok(Split { samples, labels, scaling, kind: self.kind })
    }

    fn scaling(&self, scaling: &InputScaling) -> Result<Scaling, Error> {
        Ok(Scaling { mean: self.per_channel("mean", &scaling.mean)?, std: self.per_channel("std", &scaling.std)? })
    }

    fn per_channel(&self, field: &str, value: &PerChannel) -> Result<Tensor, Error> {
        let channels = self.sample_shape.first().copied().unwrap_or(1);
        let (values, shape) = match value {
            PerChannel::All(value) => (vec![*value], vec![1]),
            PerChannel::Each(values) => {
                if values.len() as i64 != channels {
                    return Err(Rejection::new(
                        Code::InvalidSpec,
                        format!(
                            "`input.{field}` has {} numbers, the model's input has {channels} channels.",
                            values.len()
                        ),
                    )
                    .at(format!("input.{field}"))
                    .into());
                }
                let mut shape = vec![1; self.sample_shape.len()];
                if let Some(first) = shape.first_mut() {
                    *first = channels;
                }
                (values.clone(), shape)
            }
        };
        Ok(Tensor::f_from_slice(&values)?.f_to_kind(self.kind)?.f_view(&shape[..])?.f_to(self.device)?)
    }
}

struct Scaling {
    mean: Tensor,
    std: Tensor,
}

/// One split; never empty of samples unless the data set's is.
pub struct Split {
    samples: Tensor,
    labels: Option<Tensor>,
    scaling: Option<Scaling>,
    kind: Kind,
}

impl Split {
    /// Samples that are inputs as they are.
    #[cfg(test)]
    pub(crate) fn of_tensors(samples: Tensor, labels: Option<Tensor>) -> Self {
        Self { samples, labels, scaling: None, kind: Kind::Float }
    }

    pub fn count(&self) -> i64 {
        self.samples.size().first().copied().unwrap_or(0)
    }

    /// Class of every sample, int64 `[N]`.
    pub fn labels(&self) -> Option<&Tensor> {
        self.labels.as_ref()
    }

    /// Consecutive samples as the model's input.
    pub fn range(&self, range: Range<i64>) -> Result<Tensor, Error> {
        self.scaled(&self.samples.f_narrow(0, range.start, range.end - range.start)?)
    }

    /// Samples by index (int64, on the split's device) as the model's input.
    pub fn select(&self, indices: &Tensor, augment: Option<&mut Augment>) -> Result<Tensor, Error> {
        let samples = self.samples.f_index_select(0, indices)?;
        match augment {
            Some(augment) => self.scaled(&augment.apply(&samples)?),
            None => self.scaled(&samples),
        }
    }

    /// A seeded order of all samples, cut into batches; int64 indices on the split's device. A last batch of a single
    /// sample is left out, since batch norm cannot train on it.
    pub fn shuffled(&self, batch_size: i64, seed: u64, epoch: u64) -> Result<Vec<Tensor>, Error> {
        let mut order: Vec<i64> = (0..self.count()).collect();
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(epoch);
        order.shuffle(&mut generator);
        order
            .chunks(batch_size.max(2) as usize)
            .filter(|batch| batch.len() > 1)
            .map(|batch| Ok(Tensor::f_from_slice(batch)?.f_to(self.samples.device())?))
            .collect()
    }

    fn scaled(&self, stored: &Tensor) -> Result<Tensor, Error> {
        let mut input = stored.f_to_kind(self.kind)?;
        if let Some(scaling) = &self.scaling {
            input = input.f_sub(&scaling.mean)?.f_div(&scaling.std)?;
        }
        Ok(channels_last(&input)?)
    }
}

/// Consecutive ranges that cover `count` samples.
pub fn ranges(count: i64, batch: i64) -> impl Iterator<Item = Range<i64>> {
    (0..count).step_by(batch as usize).map(move |start| start..(start + batch).min(count))
}

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
        if split.samples.dim() != 4 {
            let shape = &split.samples.size()[1..];
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

    fn apply(&mut self, samples: &Tensor) -> Result<Tensor, Error> {
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
    use super::*;

    fn split(count: i64) -> Split {
        Split::of_tensors(Tensor::arange(count * 16, (Kind::Float, Device::Cpu)).view([count, 1, 4, 4]), None)
    }

    fn order(batches: &[Tensor]) -> Vec<i64> {
        Vec::try_from(&Tensor::cat(batches, 0)).unwrap()
    }

    #[test]
    fn every_epoch_has_its_own_order_and_a_seed_repeats_it() {
        let split = split(50);
        let first = order(&split.shuffled(8, 3, 0).unwrap());
        assert_eq!(first, order(&split.shuffled(8, 3, 0).unwrap()));
        assert_ne!(first, order(&split.shuffled(8, 3, 1).unwrap()));
        let mut sorted = first;
        sorted.sort_unstable();
        assert_eq!(sorted, (0..50).collect::<Vec<_>>());
    }

    #[test]
    fn a_last_batch_of_one_sample_is_left_out() {
        assert_eq!(split(9).shuffled(4, 0, 0).unwrap().len(), 2);
        assert_eq!(split(10).shuffled(4, 0, 0).unwrap().len(), 3);
    }

    #[test]
    fn a_mirrored_sample_is_the_sample_or_its_mirror_image() {
        let split = split(20);
        let mut augment = Augment::new(&[Augmentation::Hflip], &split, 1).unwrap().unwrap();
        let augmented = augment.apply(&split.samples).unwrap();
        let mirror = split.samples.flip([3]);
        let mut mirrored = 0;
        for sample in 0..20 {
            let is_same = augmented.get(sample).equal(&split.samples.get(sample));
            assert!(is_same || augmented.get(sample).equal(&mirror.get(sample)));
            mirrored += usize::from(!is_same);
        }
        assert!((3..=17).contains(&mirrored), "{mirrored} of 20");
    }

    #[test]
    fn a_crop_is_a_window_of_the_padded_sample() {
        let split = split(1);
        let mut augment = Augment::new(&[Augmentation::Crop], &split, 1).unwrap().unwrap();
        let padded = split.samples.constant_pad_nd([1, 1, 1, 1]);
        for _ in 0..10 {
            let cropped = augment.apply(&split.samples).unwrap();
            let is_window =
                (0..3).any(|top| (0..3).any(|left| cropped.equal(&padded.narrow(2, top, 4).narrow(3, left, 4))));
            assert!(is_window);
        }
    }
}

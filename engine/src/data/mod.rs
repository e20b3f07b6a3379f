//! A data set's splits on the device that they are used on.
//!
//! Samples keep the dtype that they are stored with, so that a uint8 set takes a quarter of the memory; each batch is
//! scaled when it is drawn: the model sees `(stored - mean) / std`. Order and augmentation are drawn on the host from
//! seeded generators, so they are the same on every device.

mod augment;
mod column;
mod labels;

use std::ops::Range;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use secateur_core::dataset::{Dataset, Layout, SplitReader};
use secateur_core::graph::{Graph, Size};
use secateur_core::output;
use secateur_core::recovery::{DataReport, Supervision, SupervisionLoss};
use secateur_core::rejection::{Code, Rejection};
use secateur_core::spec::{InputScaling, JobSpec, PerChannel};
use tch::{Device, Kind, Tensor};

use crate::error::Error;
use crate::network::{classes, weights};
use crate::process::memory;
use crate::torch::{channels_last, kind_of};

pub use augment::Augment;
pub use column::Column;
pub use labels::Labels;
pub use secateur_core::dataset::Split as SplitName;

/// Samples per forward pass where no gradients are kept.
const EVALUATION_BATCH: i64 = 128;

/// A data set that fits the model; splits are opened one by one.
pub struct Data<'a> {
    dataset: Dataset,
    spec: &'a JobSpec,
    layouts: Vec<Layout>,
    inputs: Vec<InputKind>,
    /// Classes that the model tells apart.
    outputs: Option<usize>,
    /// What the labels are, and which of the network's answers they are for.
    supervision: Option<(Supervision, usize)>,
    device: Device,
}

/// What one input of the model takes.
#[derive(Debug, Clone)]
struct InputKind {
    /// The shape of one sample.
    shape: Vec<i64>,
    kind: Kind,
}

impl<'a> Data<'a> {
    /// # Errors
    /// A [`Rejection`] when it does not fit the model or the spec.
    pub fn of(dataset: Dataset, graph: &Graph, spec: &'a JobSpec, device: Device) -> Result<Self, Error> {
        let inputs: Vec<InputKind> = graph
            .inputs()
            .iter()
            .map(|&input| {
                let value = graph.value(input);
                let batch = value.shape.iter().position(|&size| size == Size::BATCH);
                if batch != Some(0) {
                    return Err(Rejection::new(
                        Code::DatasetMismatch,
                        "An input of the model does not count the samples by its first dimension, where a data set has them.",
                    )
                    .hint("Prune this model without a data set."));
                }
                let shape = value.shape.iter().skip(1).map(|size| size.fixed).collect();
                Ok(InputKind { shape, kind: kind_of(value.dtype) })
            })
            .collect::<Result<_, _>>()?;
        let dataset = dataset.in_order_of(&graph.file().input_names)?;
        let shapes: Vec<Vec<i64>> = inputs.iter().map(|input| input.shape.clone()).collect();
        let layouts = dataset.layouts_for(&shapes)?;
        for (number, (&input, kind)) in graph.inputs().iter().zip(&inputs).enumerate() {
            check_type(&dataset, number, kind.kind)?;
            if let Some(max) = graph.value(input).max.filter(|_| !weights::is_float(kind.kind)) {
                dataset.check_tokens(number, max)?;
            }
        }
        let supervision = match &dataset.summary().labels {
            None => None,
            Some(labels) => {
                let supervision = Supervision::of(graph, spec, labels)?;
                if let (SupervisionLoss::CrossEntropy | SupervisionLoss::Ctc { .. }, Some(classes)) =
                    (supervision.loss, supervision.classes)
                {
                    dataset.check_classes(classes, supervision.ignore_index)?;
                }
                let answer = output::fractional(graph).iter().position(|&index| index == supervision.output);
                Some((
                    supervision,
                    answer.ok_or_else(|| Error::internal("labels for an output without fractional numbers"))?,
                ))
            }
        };
        let outputs = classes(graph).and_then(|classes| usize::try_from(classes).ok());
        let data = Self { dataset, spec, layouts, inputs, outputs, supervision, device };
        data.scaling()?;
        Ok(data)
    }

    /// What the report says of it.
    pub fn report(&self) -> DataReport {
        let summary = self.dataset.summary();
        let supervision = self.supervision.as_ref().map(|(supervision, _)| supervision.clone());
        let are_classes = supervision.as_ref().is_none_or(|found| found.loss == SupervisionLoss::CrossEntropy);
        let classes = summary.classes.filter(|_| are_classes);
        DataReport { samples: summary.samples, classes, outputs: self.outputs, supervision, source: None }
    }

    pub fn has_labels(&self) -> bool {
        self.supervision.is_some()
    }

    pub fn split(&self, name: SplitName) -> Result<Split, Error> {
        let SplitReader { inputs, labels, .. } = self.dataset.split(name, &self.layouts, self.spec.seed)?;
        let column = |reader| Column::of(reader, self.device);
        let inputs = inputs.into_iter().map(column).collect::<Result<_, _>>()?;
        let labels = match (labels, &self.supervision) {
            (Some(labels), Some((supervision, answer))) => {
                Some(Labels::new(column(labels)?, supervision.clone(), *answer)?)
            }
            _ => None,
        };
        let kinds = self.inputs.iter().map(|input| input.kind).collect();
        let first = &self.dataset.summary().inputs[0];
        let value_range = if first.dtype == "uint8" { (0.0, 255.0) } else { (first.range.least, first.range.largest) };
        Ok(Split { inputs, labels, scaling: self.scaling()?, value_range, kinds })
    }

    /// `None` where the spec asks for none.
    fn scaling(&self) -> Result<Option<Scaling>, Error> {
        let Some(InputScaling { mean, std }) = &self.spec.input else { return Ok(None) };
        let first = &self.inputs[0];
        if !weights::is_float(first.kind) {
            return Err(Rejection::new(
                Code::InvalidSpec,
                "`input` scales the samples, and the model's first input takes whole numbers.",
            )
            .at("input")
            .hint("Leave `input` out.")
            .into());
        }
        Ok(Some(Scaling { mean: self.per_channel("mean", mean, first)?, std: self.per_channel("std", std, first)? }))
    }

    fn per_channel(&self, field: &str, value: &PerChannel, input: &InputKind) -> Result<Tensor, Error> {
        let channels = input.shape.first().copied().unwrap_or(1);
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
                let mut shape = vec![1; input.shape.len()];
                if let Some(first) = shape.first_mut() {
                    *first = channels;
                }
                (values.clone(), shape)
            }
        };
        Ok(Tensor::f_from_slice(&values)?.f_to_kind(input.kind)?.f_view(&shape[..])?.f_to(self.device)?)
    }
}

/// Floats say nothing to an input that takes whole numbers.
fn check_type(dataset: &Dataset, number: usize, kind: Kind) -> Result<(), Rejection> {
    let stored = &dataset.summary().inputs[number];
    if !stored.is_float() || weights::is_float(kind) {
        return Ok(());
    }
    let mismatch = format!("`{}` is {}, but the model's input takes whole numbers.", stored.name, stored.dtype);
    Err(Rejection::new(Code::DatasetMismatch, mismatch)
        .at(&stored.name)
        .hint(format!("Save `{}.astype(np.int64)`.", stored.name)))
}

struct Scaling {
    mean: Tensor,
    std: Tensor,
}

/// One split; never empty of samples unless the data set's is.
pub struct Split {
    /// One for each input of the model.
    inputs: Vec<Column>,
    labels: Option<Labels>,
    /// Of the first input.
    scaling: Option<Scaling>,
    /// The smallest and the largest number that is stored for it, over all splits; what colours can be where they are bytes.
    value_range: (f64, f64),
    /// What each input of the model takes.
    kinds: Vec<Kind>,
}

impl Split {
    /// Samples that are inputs as they are; labels are the numbers of classes.
    #[cfg(test)]
    pub(crate) fn of_tensors(samples: Tensor, labels: Option<Tensor>) -> Self {
        let labels = labels.map(|labels| Labels::of_tensor(labels, Supervision::of_classes()));
        let value_range = (samples.min().double_value(&[]), samples.max().double_value(&[]));
        Self { inputs: vec![Column::InMemory(samples)], labels, value_range, scaling: None, kinds: vec![Kind::Float] }
    }

    pub fn count(&self) -> i64 {
        self.inputs.first().map_or(0, Column::count)
    }

    /// So many samples, or fewer where they would take more memory as inputs than is had for them; 2 at least.
    pub fn affordable(&self, samples: i64) -> i64 {
        const FLOAT: i64 = 4;
        let elements = |input: &Column| input.sample_shape().iter().product::<i64>();
        let bytes = FLOAT * self.inputs.iter().map(elements).sum::<i64>().max(1);
        samples.min(memory::share() as i64 / bytes).max(2)
    }

    /// Consecutive ranges of its first samples, each for one forward pass without gradients.
    pub fn ranges(&self, count: i64) -> impl Iterator<Item = Range<i64>> {
        let count = count.min(self.count());
        let batch = self.affordable(EVALUATION_BATCH);
        (0..count).step_by(batch as usize).map(move |start| start..(start + batch).min(count))
    }

    pub fn labels(&self) -> Option<&Labels> {
        self.labels.as_ref()
    }

    /// Consecutive samples as the model's inputs.
    pub fn range(&self, range: Range<i64>) -> Result<Vec<Tensor>, Error> {
        let part = |input: &Column| input.range(range.start, range.end - range.start);
        self.scaled(&self.inputs.iter().map(part).collect::<Result<Vec<_>, Error>>()?)
    }

    /// Samples by index (int64, on the split's device) as the model's inputs.
    pub fn select(&self, indices: &Tensor) -> Result<Vec<Tensor>, Error> {
        self.scaled(&self.stored(indices)?)
    }

    /// The same, changed at random, with their labels.
    pub fn draw(
        &self,
        indices: &Tensor,
        augment: Option<&mut Augment>,
    ) -> Result<(Vec<Tensor>, Option<Tensor>), Error> {
        let mut stored = self.stored(indices)?;
        let mut labels = self.labels.as_ref().map(|labels| labels.select(indices)).transpose()?;
        if let Some(augment) = augment {
            (stored[0], labels) = augment.apply(&stored[0], labels)?;
        }
        Ok((self.scaled(&stored)?, labels))
    }

    /// Says that samples will be asked for, by index, so that they come from the disk meanwhile.
    pub fn expect(&self, indices: &Tensor) -> Result<(), Error> {
        self.inputs.iter().try_for_each(|input| input.expect(indices))
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
            .map(|batch| Ok(Tensor::f_from_slice(batch)?.f_to(self.inputs[0].device())?))
            .collect()
    }

    fn stored(&self, indices: &Tensor) -> Result<Vec<Tensor>, Error> {
        self.inputs.iter().map(|input| input.select(indices)).collect()
    }

    fn scaled(&self, stored: &[Tensor]) -> Result<Vec<Tensor>, Error> {
        let input = |(number, (stored, &kind)): (usize, (&Tensor, &Kind))| {
            let mut input = stored.f_to_kind(kind)?;
            if let Some(scaling) = self.scaling.as_ref().filter(|_| number == 0) {
                input = input.f_sub(&scaling.mean)?.f_div(&scaling.std)?;
            }
            Ok(if weights::is_float(kind) { channels_last(&input)? } else { input })
        };
        stored.iter().zip(&self.kinds).enumerate().map(input).collect()
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
}

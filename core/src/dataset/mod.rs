//! Data sets: `.npz` and `.safetensors` files with samples `x` and labels `y`.
//!
//! [`Dataset::open`] recognises the format by content, reads the headers and then every array once, piece by piece: shapes
//! fit, samples are finite, labels are labels, checksums are right. It holds a few hundred kilobytes however
//! large the file is and whatever its headers claim. The server calls it to answer a bad upload at once; the engine calls
//! it again and then [`Dataset::load`]s a split, which is when samples come into memory.
//! Arrays: `x` (samples first; uint8 stays, floats become float32), `y` (one whole number per sample; without it the data set is
//! unlabelled), and both with `_val` and `_test`; what is missing is taken off `x`, 10 per cent each, by seed.
//! Pictures may lie as NCHW or NHWC; the model's input decides ([`Dataset::layout_for`]), loading gives NCHW.
//! Files are read by position, so one [`Dataset`] can be used by several threads. Nothing here panics on any file.

mod array;
mod check;
mod container;
mod number_type;
mod split;

/// The data set of the job, as it was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DataReport {
    /// Samples of each split.
    pub samples: SplitCounts,
    /// The largest label + 1; `null` without labels.
    pub classes: Option<usize>,
    /// Classes that the model tells apart; `null` when its output is not one score per class.
    pub outputs: Option<usize>,
}

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use self::array::Array;
use self::check::{DatasetArrays, SplitArrays};
use crate::rejection::{Code, Rejection};

pub use self::array::MAX_SAMPLES;

/// The fewest samples that a split may have.
pub const MIN_SAMPLES: usize = 3;

/// The file format of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// A zip of `.npy` arrays, as `np.savez` writes it.
    Npz,
    /// A header in JSON, then the bytes of all arrays.
    Safetensors,
}

/// A part of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// What the model learns from.
    Train,
    /// What candidates are compared on.
    Val,
    /// What the report measures on at the end.
    Test,
}

impl Split {
    fn samples_name(self) -> &'static str {
        match self {
            Self::Train => "x",
            Self::Val => "x_val",
            Self::Test => "x_test",
        }
    }

    fn labels_name(self) -> &'static str {
        match self {
            Self::Train => "y",
            Self::Val => "y_val",
            Self::Test => "y_test",
        }
    }
}

/// How the dimensions of a stored sample become those of the model's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// Channels first, as the model takes them; a grey picture without a channel dimension gets one.
    Nchw,
    /// Channels last; loading moves them to the front.
    Nhwc,
    /// Whatever the dimensions are, they stay.
    AsIs,
}

/// One array of a data set as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ArraySummary {
    /// The array's name, such as `x_val`.
    pub name: String,
    /// NumPy's name of the element type, `uint8`.
    pub dtype: String,
    /// Its dimensions, the samples first.
    pub shape: Vec<usize>,
}

/// The number of samples in each split, those counted that are taken off `x`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SplitCounts {
    /// Samples to learn from.
    pub train: usize,
    /// Samples to compare candidates on.
    pub val: usize,
    /// Samples to measure on at the end.
    pub test: usize,
}

/// A description of a data set: its arrays, samples and classes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DatasetSummary {
    /// The format of the file.
    pub format: Format,
    /// All arrays, in the order of the file.
    pub arrays: Vec<ArraySummary>,
    /// How many samples each split has.
    pub samples: SplitCounts,
    /// The shape of one sample as it is stored.
    pub sample_shape: Vec<usize>,
    /// NumPy's name of the samples' element type.
    pub sample_dtype: String,
    /// A guess from the shape alone; the model's input decides.
    pub layout: Layout,
    /// The largest label + 1, `null` without labels.
    pub classes: Option<usize>,
    /// Whether there is a label for each sample.
    pub labelled: bool,
}

/// The elements of samples, one sample after the other.
#[derive(Debug, Clone, PartialEq)]
pub enum Samples {
    /// Bytes as they are stored.
    U8(Vec<u8>),
    /// Floats of any stored type.
    F32(Vec<f32>),
}

/// The samples and labels of one split in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct SplitData {
    /// The elements: `count` times the product of `shape`.
    pub samples: Samples,
    /// The shape of one sample, channels first.
    pub shape: Vec<usize>,
    /// How many samples there are.
    pub count: usize,
    /// One label for each sample, `None` for an unlabelled data set.
    pub labels: Option<Vec<i64>>,
}

/// An open data set that was checked; no samples are held.
#[derive(Debug)]
pub struct Dataset {
    file: Arc<File>,
    parts: DatasetArrays,
    summary: DatasetSummary,
}

fn invalid(detail: impl Into<String>) -> Rejection {
    Rejection::new(Code::InvalidDataset, detail)
}

impl Dataset {
    /// Opens a file and reads it once from front to back; the time is that of unpacking it.
    ///
    /// # Errors
    ///
    /// [`Code::InvalidDataset`] for everything that is wrong with it; names array, value, index and what is allowed.
    pub fn open(path: &Path) -> Result<Self, Rejection> {
        let file = File::open(path).map_err(|error| invalid(format!("The file could not be read: {error}.")))?;
        let file = Arc::new(file);
        let (format, arrays) = container::read_arrays(&file)?;
        let array_summaries = arrays.iter().map(summarise).collect();
        let mut parts = DatasetArrays::new(arrays)?;
        let samples = split::count(&parts)?;
        parts.check_values(&file)?;

        let train = &parts.train.samples;
        let max_label = parts.all().filter_map(|part| part.max_label).max();
        let summary = DatasetSummary {
            format,
            arrays: array_summaries,
            samples,
            sample_shape: train.sample_shape().to_vec(),
            sample_dtype: train.number.name().to_owned(),
            layout: guess_layout(train.sample_shape()),
            classes: max_label.map(|label| usize::try_from(label).unwrap_or(usize::MAX).saturating_add(1)),
            labelled: parts.train.labels.is_some(),
        };
        Ok(Self { file, parts, summary })
    }

    /// What the data set holds.
    pub fn summary(&self) -> &DatasetSummary {
        &self.summary
    }

    /// The layout in which a stored sample has the model's `input_shape` (one sample, without batch).
    /// Channels first wins where both fit.
    ///
    /// # Errors
    ///
    /// [`Code::DatasetMismatch`] when no layout fits.
    pub fn layout_for(&self, input_shape: &[i64]) -> Result<Layout, Rejection> {
        let stored = &self.summary.sample_shape;
        let fits = |layout| {
            loaded_shape(stored, layout).is_some_and(|shape| {
                shape.len() == input_shape.len()
                    && shape.iter().zip(input_shape).all(|(&size, &wanted)| i64::try_from(size) == Ok(wanted))
            })
        };
        let candidates: &[Layout] = match stored.len() {
            3 => &[Layout::Nchw, Layout::Nhwc],
            _ => &[Layout::AsIs, Layout::Nchw, Layout::Nhwc],
        };
        candidates.iter().copied().find(|&layout| fits(layout)).ok_or_else(|| {
            Rejection::new(
                Code::DatasetMismatch,
                format!("One sample of `x` has shape {stored:?}, but the model takes {input_shape:?}, channels first."),
            )
            .at("x")
            .hint("Save the samples channels first or last, in the size that the model takes.")
        })
    }

    /// Checks that a model with this input and this many outputs can be trained on the data.
    ///
    /// # Errors
    ///
    /// [`Code::DatasetMismatch`] when a sample has another shape or a label has no output; [`Code::InvalidDataset`] when the
    /// file can no longer be read.
    pub fn check_against(&self, input_shape: &[i64], classes: usize) -> Result<(), Rejection> {
        self.layout_for(input_shape)?;
        let classes = i64::try_from(classes).unwrap_or(i64::MAX);
        for part in self.parts.all() {
            let (Some(labels), Some(max_label)) = (&part.labels, part.max_label) else {
                continue;
            };
            if max_label < classes {
                continue;
            }
            check::for_each_label(labels, &self.file, |index, label| {
                if label < classes {
                    return Ok(());
                }
                Err(Rejection::new(
                    Code::DatasetMismatch,
                    format!(
                        "`{}` has the label {label} at index {index}, but the model has {classes} outputs.",
                        labels.name
                    ),
                )
                .at(&labels.name)
                .hint(format!("Count the labels from 0 to {}.", classes - 1)))
            })?;
        }
        Ok(())
    }

    /// Reads one split into memory, in the order of the file.
    ///
    /// The splits of one seed are disjoint and together hold all samples.
    ///
    /// # Errors
    ///
    /// [`Code::OutOfMemory`] when the split does not fit, [`Code::DatasetMismatch`] when the stored samples do not have the
    /// dimensions of `layout`, [`Code::InvalidDataset`] when the file can no longer be read.
    pub fn load(&self, split: Split, layout: Layout, seed: u64) -> Result<SplitData, Rejection> {
        let stored = match split {
            Split::Train => None,
            Split::Val => self.parts.val.as_ref(),
            Split::Test => self.parts.test.as_ref(),
        };
        let whole = self.parts.val.is_some() && self.parts.test.is_some();
        let (part, members) = match stored {
            Some(part) => (part, None),
            None if whole => (&self.parts.train, None),
            None => (&self.parts.train, Some(split::members(&self.parts, &self.summary.samples, split, seed))),
        };
        self.load_part(part, members.as_deref(), layout)
    }

    fn load_part(&self, part: &SplitArrays, members: Option<&[bool]>, layout: Layout) -> Result<SplitData, Rejection> {
        let array = &part.samples;
        let shape = loaded_shape(array.sample_shape(), layout).ok_or_else(|| {
            Rejection::new(
                Code::DatasetMismatch,
                format!(
                    "Samples of shape {:?} have no channels-last layout; it needs two dimensions or more.",
                    array.sample_shape()
                ),
            )
            .at(&array.name)
        })?;
        let is_member = |index: usize| members.is_none_or(|members| members[index]);
        let count = (0..array.samples()).filter(|&index| is_member(index)).count();
        let samples = if array.number.is_float() {
            let number = array.number;
            Samples::F32(self.load_samples(array, count, layout, is_member, |bytes, row: &mut Vec<f32>| {
                number.for_each_float(bytes, |value| row.push(value));
            })?)
        } else {
            Samples::U8(self.load_samples(array, count, layout, is_member, |bytes, row: &mut Vec<u8>| {
                row.extend_from_slice(bytes);
            })?)
        };
        let labels = match &part.labels {
            None => None,
            Some(labels) => {
                let mut chosen = with_capacity(count)?;
                check::for_each_label(labels, &self.file, |index, label| {
                    if is_member(index) {
                        chosen.push(label);
                    }
                    Ok(())
                })?;
                Some(chosen)
            }
        };
        Ok(SplitData { samples, shape, count, labels })
    }

    fn load_samples<T: Copy>(
        &self,
        array: &Array,
        count: usize,
        layout: Layout,
        is_member: impl Fn(usize) -> bool,
        decode: impl Fn(&[u8], &mut Vec<T>),
    ) -> Result<Vec<T>, Rejection> {
        let elements = array.sample_elements();
        let mut samples = with_capacity(count.saturating_mul(elements))?;
        let mut bytes: Vec<u8> = with_capacity(elements * array.number.bytes())?;
        bytes.resize(elements * array.number.bytes(), 0);
        let mut row = with_capacity(elements)?;
        let mut reader = BufReader::with_capacity(1 << 18, array.reader(&self.file)?);
        for index in 0..array.samples() {
            reader.read_exact(&mut bytes).map_err(|error| array.unreadable(&error))?;
            if !is_member(index) {
                continue;
            }
            if layout == Layout::Nhwc {
                row.clear();
                decode(&bytes, &mut row);
                let channels = *array.sample_shape().last().expect("a sample has a dimension");
                for channel in 0..channels {
                    samples.extend(row[channel..].iter().step_by(channels));
                }
            } else {
                decode(&bytes, &mut samples);
            }
        }
        Ok(samples)
    }
}

/// An empty vector with room for `count`, or a rejection instead of an abort.
fn with_capacity<T>(count: usize) -> Result<Vec<T>, Rejection> {
    let mut vector = Vec::new();
    vector.try_reserve_exact(count).map_err(|_| {
        Rejection::new(
            Code::OutOfMemory,
            format!("The split does not fit into memory: it has {count} values of {} bytes.", size_of::<T>()),
        )
    })?;
    Ok(vector)
}

fn summarise(array: &Array) -> ArraySummary {
    ArraySummary { name: array.name.clone(), dtype: array.number.name().to_owned(), shape: array.shape.clone() }
}

/// The shape of a stored sample after loading, `None` when it cannot have the layout.
fn loaded_shape(stored: &[usize], layout: Layout) -> Option<Vec<usize>> {
    match (layout, stored) {
        (Layout::Nchw, &[height, width]) => Some(vec![1, height, width]),
        (Layout::Nchw | Layout::AsIs, _) => Some(stored.to_vec()),
        (Layout::Nhwc, [spatial @ .., channels]) if !spatial.is_empty() => Some([&[*channels], spatial].concat()),
        (Layout::Nhwc, _) => None,
    }
}

fn guess_layout(sample_shape: &[usize]) -> Layout {
    let is_channels = |size: usize| matches!(size, 1 | 3 | 4);
    match *sample_shape {
        [first, _, last] if is_channels(last) && !is_channels(first) => Layout::Nhwc,
        [_, _, _] => Layout::Nchw,
        _ => Layout::AsIs,
    }
}

//! Data sets: `.npz` and `.safetensors` files with samples `x` and labels `y`.
//!
//! [`Dataset::open`] recognises the format by content, reads the headers and then every array once, piece by piece: shapes
//! fit, numbers are finite, checksums are right. It holds a few hundred kilobytes however
//! large the file is and whatever its headers claim. The server calls it to answer a bad upload at once; the engine calls
//! it again and reads the samples of a [`Dataset::split`] when it needs them.
//! Arrays: `x` (samples first; bytes stay, other integers become int64, floats float32), or `x0`, `x1` and so on for a model with several
//! inputs, or `x.image`, `x.mask` by the names of its arguments; `y` (what belongs to each sample, of any shape: a class, a mask, values;
//! without it the data set is unlabelled); and all of them with `_val` and `_test`; what is missing is taken off `x`, 10 per cent each, by seed.
//! Pictures may lie as NCHW or NHWC; the model's input decides ([`Dataset::layouts_for`]), loading gives NCHW.
//! Files are read by position, so one [`Dataset`] can be used by several threads. Nothing here panics on any file.

mod array;
mod check;
mod container;
mod number_type;
mod reader;
pub mod source;
mod split;
mod summary;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use self::array::Array;
use self::check::{DatasetArrays, SplitArrays, index_of, index_text};
use self::reader::loaded_shape;
use self::source::Source;
use crate::rejection::{Code, Rejection};

pub use self::array::MAX_SAMPLES;
pub use self::check::IGNORED;
pub use self::reader::{Column, ColumnReader, Elements, SplitData, SplitReader, StoredArray};
pub use self::summary::{ArraySummary, DatasetSummary, InputSummary, LabelSummary, Range};

/// The fewest samples that a split may have.
pub const MIN_SAMPLES: usize = 3;

/// Samples of a split that is taken off so many.
fn tenth(samples: usize) -> usize {
    (samples + 5) / 10
}

/// The file format of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// A zip of `.npy` arrays, as `np.savez` writes it.
    Npz,
    /// A header in JSON, then the bytes of all arrays.
    Safetensors,
    /// What is converted before it is used; `source` says what it is.
    Source,
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
    fn suffix(self) -> &'static str {
        match self {
            Self::Train => "",
            Self::Val => "_val",
            Self::Test => "_test",
        }
    }

    /// The array of the only input, or of the one of this number.
    fn input_name(self, number: Option<usize>) -> String {
        match number {
            None => format!("x{}", self.suffix()),
            Some(number) => format!("x{number}{}", self.suffix()),
        }
    }

    /// The argument for which an array of this split is, `mask` of `x.mask_val`.
    fn argument(self, array: &str) -> Option<&str> {
        let is_of_another = |name: &str| self == Self::Train && (name.ends_with("_val") || name.ends_with("_test"));
        let name = array.strip_prefix("x.")?.strip_suffix(self.suffix())?;
        Some(name).filter(|name| !name.is_empty() && !is_of_another(name))
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

/// A description of a file, whichever format it has; it is read once from front to back.
///
/// # Errors
/// [`Code::InvalidDataset`] for everything that is wrong with it.
pub fn summarise(path: &Path) -> Result<DatasetSummary, Rejection> {
    let file = Arc::new(opened(path)?);
    match Source::recognise(&file)? {
        Some(source) => Ok(DatasetSummary::of_source(source.summary())),
        None => Ok(Dataset::of_file(file)?.summary),
    }
}

fn opened(path: &Path) -> Result<File, Rejection> {
    File::open(path).map_err(|error| invalid(format!("The file could not be read: {error}.")))
}

/// An open data set that was checked; no samples are held.
#[derive(Debug)]
pub struct Dataset {
    file: Arc<File>,
    parts: DatasetArrays,
    summary: DatasetSummary,
    /// Whether somebody has held its values against the model.
    is_checked: bool,
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
        Self::of_file(Arc::new(opened(path)?))
    }

    /// The same of a file that is open already.
    ///
    /// # Errors
    /// Those of [`Self::open`].
    pub fn of_file(file: Arc<File>) -> Result<Self, Rejection> {
        let (format, arrays) = container::read_arrays(&file)?;
        let array_summaries = arrays.iter().map(array_summary).collect();
        let mut parts = DatasetArrays::new(arrays)?;
        let samples = split::count(&parts)?;
        parts.check_values(&file)?;

        let inputs: Vec<InputSummary> = parts
            .train
            .inputs
            .iter()
            .enumerate()
            .map(|(number, input)| InputSummary {
                name: input.name.clone(),
                dtype: input.number.name().to_owned(),
                shape: input.sample_shape().to_vec(),
                range: Range::of(parts.all().map(|part| part.input_ranges[number])),
            })
            .collect();
        let labels = parts.train.labels.as_ref().map(|labels| {
            let facts = || parts.all().filter_map(|part| part.label_facts);
            LabelSummary {
                dtype: labels.number.name().to_owned(),
                shape: labels.sample_shape().to_vec(),
                range: Range::of(facts().map(|facts| facts.range)),
                are_whole: facts().all(|facts| facts.are_whole),
                are_distributions: facts().all(|facts| facts.are_distributions),
            }
        });
        let classes = labels.as_ref().filter(|labels| labels.could_be_classes() && !labels.are_distributions);
        let summary = DatasetSummary {
            format,
            arrays: array_summaries,
            samples,
            sample_shape: inputs[0].shape.clone(),
            sample_dtype: inputs[0].dtype.clone(),
            layout: guess_layout(&inputs[0].shape),
            inputs,
            // A float may be beyond every whole number of the machine.
            classes: classes.map(|labels| (labels.range.largest as usize).saturating_add(1)),
            labelled: labels.is_some(),
            labels,
            source: None,
        };
        Ok(Self { file, parts, summary, is_checked: false })
    }

    /// A file that was held against the same model before, and of which [`Self::summary`] is known: only its headers are read.
    ///
    /// # Errors
    /// [`Code::InvalidDataset`] when the arrays are not those of the summary.
    pub fn of_checked_file(file: Arc<File>, summary: DatasetSummary) -> Result<Self, Rejection> {
        Ok(Self { is_checked: true, ..Self::of_known_file(file, summary)? })
    }

    /// A file of which [`Self::summary`] is known, for a model that it was not held against yet: only its headers are read.
    ///
    /// # Errors
    /// Those of [`Self::of_checked_file`].
    pub fn of_known_file(file: Arc<File>, summary: DatasetSummary) -> Result<Self, Rejection> {
        let (_, arrays) = container::read_arrays(&file)?;
        if !arrays.iter().map(array_summary).eq(summary.arrays.iter().cloned()) {
            return Err(invalid("The data set is not the one that was checked: it has other arrays."));
        }
        let mut parts = DatasetArrays::new(arrays)?;
        parts.take_facts(&summary);
        Ok(Self { file, parts, summary, is_checked: false })
    }

    /// What the data set holds.
    pub fn summary(&self) -> &DatasetSummary {
        &self.summary
    }

    /// The same with inputs that are named after arguments in the order in which the model takes these; any others stay as they are.
    ///
    /// # Errors
    /// [`Code::DatasetMismatch`] when an argument has no array, or an array no argument.
    pub fn in_order_of(mut self, arguments: &[String]) -> Result<Self, Rejection> {
        let Some(stored) = self.argument_names() else { return Ok(self) };
        let order: Option<Vec<usize>> =
            arguments.iter().map(|argument| stored.iter().position(|stored| stored == argument)).collect();
        let Some(order) = order.filter(|order| order.len() == stored.len()) else {
            let list = |names: &[String], before: &str| {
                names.iter().map(|name| format!("`{before}{name}`")).collect::<Vec<_>>().join(", ")
            };
            return Err(Rejection::new(
                Code::DatasetMismatch,
                format!(
                    "The inputs of the model are {}, and the data set has {}.",
                    list(arguments, ""),
                    list(&stored, "x.")
                ),
            )
            .at(&self.summary.inputs[0].name)
            .hint("Save one array for each input that the model is given, named `x.` and the argument's name."));
        };
        self.parts.reorder(&order);
        self.summary.inputs = order.iter().map(|&input| self.summary.inputs[input].clone()).collect();
        let InputSummary { shape, dtype, .. } = self.summary.inputs[0].clone();
        self.summary.layout = guess_layout(&shape);
        (self.summary.sample_shape, self.summary.sample_dtype) = (shape, dtype);
        Ok(self)
    }

    /// The arguments that the inputs are named after, in the order of [`DatasetSummary::inputs`]; `None` where they are not.
    pub fn argument_names(&self) -> Option<Vec<String>> {
        let names = self.summary.inputs.iter().map(|input| Split::Train.argument(&input.name).map(str::to_owned));
        names.collect()
    }

    /// For each input of the model the layout in which a stored sample has its shape (one sample, without batch).
    /// Channels first wins where both fit.
    ///
    /// # Errors
    /// [`Code::DatasetMismatch`] when there are not as many inputs, or no layout fits.
    pub fn layouts_for(&self, input_shapes: &[Vec<i64>]) -> Result<Vec<Layout>, Rejection> {
        let stored = &self.summary.inputs;
        if stored.len() != input_shapes.len() {
            let wanted = match input_shapes.len() {
                1 => "`x`".to_owned(),
                count => (0..count).map(|number| format!("`x{number}`")).collect::<Vec<_>>().join(", "),
            };
            let mismatch = format!(
                "The model takes {} inputs and the data set has {}; a data set for this model has {wanted}.",
                input_shapes.len(),
                stored.len()
            );
            return Err(Rejection::new(Code::DatasetMismatch, mismatch).at(&stored[0].name));
        }
        stored.iter().zip(input_shapes).map(|(stored, wanted)| layout_for(stored, wanted)).collect()
    }

    /// Checks that no number of an integer input is above what the model's table has for it.
    ///
    /// # Errors
    /// [`Code::DatasetMismatch`] with the number and where it is.
    pub fn check_tokens(&self, input: usize, max: i64) -> Result<(), Rejection> {
        if self.is_checked {
            return Ok(());
        }
        for part in self.parts.all() {
            let array = &part.inputs[input];
            let range = part.input_ranges[input];
            if range.least >= 0.0 && range.largest <= max as f64 {
                continue;
            }
            check::for_each_number(array, &self.file, |position, value| {
                if value >= 0.0 && value <= max as f64 {
                    return Ok(());
                }
                Err(Rejection::new(
                    Code::DatasetMismatch,
                    format!(
                        "`{}` has the number {value} at index {}, but the model looks it up in a table of {} rows: 0 to {max} are allowed.",
                        array.name,
                        index_text(&index_of(position, &array.shape)),
                        max + 1
                    ),
                )
                .at(&array.name))
            })?;
        }
        Ok(())
    }

    /// Checks that every label is the number of one of so many classes, or `ignored`.
    ///
    /// # Errors
    /// [`Code::DatasetMismatch`] with the label and where it is; [`Code::InvalidDataset`] when the file can no longer be read.
    pub fn check_classes(&self, classes: usize, ignored: Option<i64>) -> Result<(), Rejection> {
        if self.is_checked {
            return Ok(());
        }
        let is_class = |value: f64| value.fract() == 0.0 && value >= 0.0 && value < classes as f64;
        let is_left_out =
            |value: f64| value == IGNORED as f64 || ignored.is_some_and(|ignored| value == ignored as f64);
        for part in self.parts.all() {
            let (Some(labels), Some(facts)) = (&part.labels, part.label_facts) else {
                continue;
            };
            if facts.are_whole && is_class(facts.range.least) && is_class(facts.range.largest) {
                continue;
            }
            check::for_each_number(labels, &self.file, |position, label| {
                if is_class(label) || is_left_out(label) {
                    return Ok(());
                }
                let hint = if labels.sample_shape().is_empty() {
                    format!("Count the labels from 0 to {}.", classes - 1)
                } else {
                    format!(
                        "Count the labels from 0 to {}; set `fine_tune.ignore_index` to the number of the places that do not count.",
                        classes - 1
                    )
                };
                Err(Rejection::new(
                    Code::DatasetMismatch,
                    format!(
                        "`{}` has the label {label} at index {}, but the model has {classes} outputs.",
                        labels.name,
                        index_text(&index_of(position, &labels.shape)),
                    ),
                )
                .at(&labels.name)
                .hint(hint))
            })?;
        }
        Ok(())
    }

    /// One split, in the order of the file.
    ///
    /// The splits of one seed are disjoint and together hold all samples.
    ///
    /// # Errors
    /// [`Code::DatasetMismatch`] when the stored samples do not have the dimensions of `layouts`.
    pub fn split(&self, split: Split, layouts: &[Layout], seed: u64) -> Result<SplitReader, Rejection> {
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
        let column = |array, layout| ColumnReader::new(&self.file, array, layout, members.clone());
        Ok(SplitReader {
            inputs: part
                .inputs
                .iter()
                .zip(layouts)
                .map(|(input, &layout)| column(input, layout))
                .collect::<Result<_, _>>()?,
            count: members.as_ref().map_or(part.samples(), |members| members.len()),
            labels: part.labels.as_ref().map(|labels| column(labels, Layout::AsIs)).transpose()?,
        })
    }

    /// Every array of the file.
    pub fn arrays(&self) -> impl Iterator<Item = StoredArray<'_>> {
        let arrays = self.parts.all().flat_map(SplitArrays::arrays);
        arrays.map(|array| StoredArray { file: &self.file, array })
    }
}

fn layout_for(stored: &InputSummary, wanted: &[i64]) -> Result<Layout, Rejection> {
    let InputSummary { name, shape: stored, .. } = stored;
    let fits = |layout| {
        loaded_shape(stored, layout).is_some_and(|shape| {
            shape.len() == wanted.len()
                && shape.iter().zip(wanted).all(|(&size, &wanted)| i64::try_from(size) == Ok(wanted))
        })
    };
    let candidates: &[Layout] = match stored.len() {
        3 => &[Layout::Nchw, Layout::Nhwc],
        _ => &[Layout::AsIs, Layout::Nchw, Layout::Nhwc],
    };
    candidates.iter().copied().find(|&layout| fits(layout)).ok_or_else(|| {
        Rejection::new(
            Code::DatasetMismatch,
            format!("One sample of `{name}` has shape {stored:?}, but the model takes {wanted:?}, channels first."),
        )
        .at(name)
        .hint("Save the samples channels first or last, in the size that the model takes.")
    })
}

fn array_summary(array: &Array) -> ArraySummary {
    ArraySummary { name: array.name.clone(), dtype: array.number.name().to_owned(), shape: array.shape.clone() }
}

fn guess_layout(sample_shape: &[usize]) -> Layout {
    let is_channels = |size: usize| matches!(size, 1 | 3 | 4);
    match *sample_shape {
        [first, _, last] if is_channels(last) && !is_channels(first) => Layout::Nhwc,
        [_, _, _] => Layout::Nchw,
        _ => Layout::AsIs,
    }
}

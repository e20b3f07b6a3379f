//! What is said of a data set: its arrays, its samples, its labels.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::source::{self, SourceSummary};
use super::{Format, Layout, SplitCounts, guess_layout, tenth};

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

/// A description of a data set: its arrays, samples and classes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DatasetSummary {
    /// The format of the file.
    pub format: Format,
    /// All arrays, in the order of the file.
    pub arrays: Vec<ArraySummary>,
    /// How many samples each split has.
    pub samples: SplitCounts,
    /// The shape of one sample as it is stored; of several inputs the first's.
    pub sample_shape: Vec<usize>,
    /// NumPy's name of the samples' element type; of several inputs the first's.
    pub sample_dtype: String,
    /// A guess from the shape alone; the model's input decides.
    pub layout: Layout,
    /// What is stored for each input of the model, in their order.
    #[serde(default)]
    pub inputs: Vec<InputSummary>,
    /// The largest label + 1 where the labels are whole numbers from 0, `null` for any other and without labels.
    pub classes: Option<usize>,
    /// Whether there is a label for each sample.
    pub labelled: bool,
    /// The labels; `null` without any, and before they are read.
    #[serde(default)]
    pub labels: Option<LabelSummary>,
    /// What becomes arrays only in a job; `null` for a file of arrays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceSummary>,
}

impl DatasetSummary {
    /// Shapes and types are known only when the model is.
    pub(super) fn of_source(source: &SourceSummary) -> Self {
        let stored = source.samples;
        let tenth = tenth(stored.train);
        let or_tenth = |count: usize| if count == 0 { tenth } else { count };
        let (val, test) = (or_tenth(stored.val), or_tenth(stored.test));
        let taken = tenth * (usize::from(stored.val == 0) + usize::from(stored.test == 0));
        let is_labelled = source.labels != source::Labels::None;
        Self {
            format: Format::Source,
            arrays: Vec::new(),
            samples: SplitCounts { train: stored.train.saturating_sub(taken), val, test },
            sample_shape: Vec::new(),
            sample_dtype: String::new(),
            layout: Layout::AsIs,
            inputs: Vec::new(),
            classes: Some(source.classes.len()).filter(|&classes| classes > 0),
            labelled: is_labelled,
            labels: None,
            source: Some(source.clone()),
        }
    }
}

/// What is stored for one input of the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct InputSummary {
    /// The array's name, such as `x` or `x1`.
    pub name: String,
    /// NumPy's name of the element type.
    pub dtype: String,
    /// The shape of one sample.
    pub shape: Vec<usize>,
    /// The smallest and the largest number, over all splits.
    pub range: Range,
}

/// What is stored as labels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LabelSummary {
    /// NumPy's name of the element type.
    pub dtype: String,
    /// The shape of what belongs to one sample; empty for one number.
    pub shape: Vec<usize>,
    /// The smallest and the largest number, over all splits and beside -100, which PyTorch's losses leave out.
    pub range: Range,
    /// Whether all of them are whole numbers.
    pub are_whole: bool,
    /// Whether the numbers of every sample are no less than 0 and add up to 1.
    pub are_distributions: bool,
}

impl InputSummary {
    /// Whether the numbers are floats of any width.
    pub fn is_float(&self) -> bool {
        self.dtype.contains("float")
    }

    /// A guess from the shape alone; the model's input decides.
    pub fn layout(&self) -> Layout {
        guess_layout(&self.shape)
    }
}

impl LabelSummary {
    /// Whether whole numbers are stored as floats or integers, and could be the numbers of classes.
    pub fn could_be_classes(&self) -> bool {
        self.are_whole && self.range.least >= 0.0
    }
}

/// The smallest and the largest of some numbers; 0 and 0 of none.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Range {
    /// The smallest.
    pub least: f64,
    /// The largest.
    pub largest: f64,
}

impl Range {
    pub(super) const EMPTY: Self = Self { least: f64::INFINITY, largest: f64::NEG_INFINITY };

    pub(super) fn add(&mut self, number: f64) {
        self.least = self.least.min(number);
        self.largest = self.largest.max(number);
    }

    /// Of all these numbers together.
    pub(super) fn of(ranges: impl Iterator<Item = Self>) -> Self {
        let mut all = Self::EMPTY;
        for range in ranges {
            all.least = all.least.min(range.least);
            all.largest = all.largest.max(range.largest);
        }
        if all.least > all.largest { Self { least: 0.0, largest: 0.0 } } else { all }
    }
}

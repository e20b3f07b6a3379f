//! What must hold of the arrays together, and of every value in them.

use std::fs::File;
use std::sync::Arc;

use super::array::Array;
use super::{DatasetSummary, MIN_SAMPLES, Range, Split, invalid};
use crate::rejection::Rejection;

/// The most inputs that a data set may have.
const MOST_INPUTS: usize = 16;

/// The number that PyTorch's losses leave out where a label would stand.
pub const IGNORED: i64 = -100;

/// The arrays of one split.
#[derive(Debug, Clone)]
pub(super) struct SplitArrays {
    /// One for each input of the model.
    pub inputs: Vec<Array>,
    pub labels: Option<Array>,
    /// Smallest and largest number of each input, known once the values were read.
    pub input_ranges: Vec<Range>,
    pub label_facts: Option<LabelFacts>,
}

/// What the values of an array of labels have in common.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct LabelFacts {
    /// Beside [`IGNORED`].
    pub range: Range,
    pub are_whole: bool,
    /// Whether the labels of every sample are no less than 0 and add up to 1.
    pub are_distributions: bool,
}

/// The arrays of a data set by their split; what is `None` is taken off `train`.
#[derive(Debug, Clone)]
pub(super) struct DatasetArrays {
    pub train: SplitArrays,
    pub val: Option<SplitArrays>,
    pub test: Option<SplitArrays>,
}

impl DatasetArrays {
    /// Sorts the arrays by name and checks that they fit each other.
    pub(super) fn new(arrays: Vec<Array>) -> Result<Self, Rejection> {
        let mut named = Named::new(arrays)?;
        let train = named.part(Split::Train)?.ok_or_else(|| {
            invalid("The array `x` with the samples is missing.")
                .at("x")
                .hint("Save the samples as `x` and their labels as `y`; both may also have `_val` and `_test`. Of a model with several inputs save `x0`, `x1` and so on.")
        })?;
        let parts = Self { val: named.part(Split::Val)?, test: named.part(Split::Test)?, train };
        if let Some(array) = named.0.first() {
            // Only a numbered input beside `x` or behind a gap is left.
            return Err(invalid(format!(
                "The array `{}` is out of place: a data set has either `x`, or `x0`, `x1` and so on without a gap, up to {MOST_INPUTS} of them, \
                 or arrays named after arguments, `x.image`.",
                array.name
            ))
            .at(&array.name));
        }
        for part in parts.all() {
            part.check_shapes()?;
        }
        for part in [&parts.val, &parts.test].into_iter().flatten() {
            part.check_fits(&parts.train)?;
        }
        Ok(parts)
    }

    /// The arrays of every split that is stored.
    pub(super) fn all(&self) -> impl Iterator<Item = &SplitArrays> {
        [Some(&self.train), self.val.as_ref(), self.test.as_ref()].into_iter().flatten()
    }

    /// Puts the inputs of every split into another order: the `order[n]`-th becomes the n-th.
    pub(super) fn reorder(&mut self, order: &[usize]) {
        for part in [Some(&mut self.train), self.val.as_mut(), self.test.as_mut()].into_iter().flatten() {
            part.inputs = order.iter().map(|&input| part.inputs[input].clone()).collect();
            part.input_ranges = order.iter().map(|&input| part.input_ranges[input]).collect();
        }
    }

    /// Reads every array: all numbers must be finite, checksums must be right.
    pub(super) fn check_values(&mut self, file: &Arc<File>) -> Result<(), Rejection> {
        for part in [Some(&mut self.train), self.val.as_mut(), self.test.as_mut()].into_iter().flatten() {
            part.input_ranges = part.inputs.iter().map(|input| range(input, file)).collect::<Result<_, _>>()?;
            part.label_facts = part.labels.as_ref().map(|labels| label_facts(labels, file)).transpose()?;
        }
        Ok(())
    }

    /// What [`Self::check_values`] found out when the summary was made.
    pub(super) fn take_facts(&mut self, summary: &DatasetSummary) {
        let label_facts = summary.labels.as_ref().map(|labels| LabelFacts {
            range: labels.range,
            are_whole: labels.are_whole,
            are_distributions: labels.are_distributions,
        });
        for part in [Some(&mut self.train), self.val.as_mut(), self.test.as_mut()].into_iter().flatten() {
            part.input_ranges = summary.inputs.iter().map(|input| input.range).collect();
            part.label_facts = label_facts;
        }
    }
}

struct Named(Vec<Array>);

impl Named {
    fn new(arrays: Vec<Array>) -> Result<Self, Rejection> {
        for array in &arrays {
            let is_input = |split: Split| {
                array.name == split.input_name(None)
                    || split.argument(&array.name).is_some()
                    || (0..MOST_INPUTS).any(|number| array.name == split.input_name(Some(number)))
            };
            let allowed = [Split::Train, Split::Val, Split::Test]
                .into_iter()
                .any(|split| is_input(split) || array.name == split.labels_name());
            if !allowed {
                let hint = match array.name.as_str() {
                    "arr_0" | "X" | "x_train" | "X_train" | "train_x" | "images" | "data" | "inputs" => Some("x"),
                    "arr_1" | "Y" | "y_train" | "Y_train" | "train_y" | "labels" | "targets" | "label" => Some("y"),
                    _ => None,
                };
                let rejection = invalid(format!(
                    "The array `{}` is unknown; allowed are `x`, `y`, `x_val`, `y_val`, `x_test` and `y_test`, with `x0`, `x1` and so on, or `x.` and the names of its \
                     arguments, in the place of `x` for a model with several inputs.",
                    array.name
                ))
                .at(&array.name);
                return Err(match hint {
                    Some(name) => rejection.hint(format!("Rename it to `{name}`.")),
                    None => rejection.hint("Leave it out."),
                });
            }
        }
        arrays.iter().try_for_each(Array::check_shape)?;
        Ok(Self(arrays))
    }

    fn take(&mut self, name: &str) -> Option<Array> {
        let index = self.0.iter().position(|array| array.name == name)?;
        Some(self.0.swap_remove(index))
    }

    /// Those that are named after arguments, by name.
    fn take_named(&mut self, split: Split) -> Vec<Array> {
        let (mut named, others): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.0).into_iter().partition(|array| split.argument(&array.name).is_some());
        self.0 = others;
        named.sort_by(|one, other| one.name.cmp(&other.name));
        named
    }

    fn part(&mut self, split: Split) -> Result<Option<SplitArrays>, Rejection> {
        let labels = self.take(split.labels_name());
        let inputs = match self.take(&split.input_name(None)) {
            Some(only) => vec![only],
            None => {
                let numbered = (0..MOST_INPUTS).map_while(|number| self.take(&split.input_name(Some(number))));
                let numbered: Vec<_> = numbered.collect();
                if numbered.is_empty() { self.take_named(split) } else { numbered }
            }
        };
        if let Some(array) = inputs.get(MOST_INPUTS) {
            return Err(invalid(format!("There are {} inputs; at most {MOST_INPUTS} are allowed.", inputs.len()))
                .at(&array.name));
        }
        match (inputs.is_empty(), labels) {
            (false, labels) => Ok(Some(SplitArrays { inputs, labels, input_ranges: Vec::new(), label_facts: None })),
            (true, None) => Ok(None),
            (true, Some(labels)) => Err(invalid(format!(
                "The array `{}` is missing, but its labels `{}` are there.",
                split.input_name(None),
                labels.name
            ))
            .at(split.input_name(None))),
        }
    }
}

impl SplitArrays {
    /// Its inputs and its labels.
    pub(super) fn arrays(&self) -> impl Iterator<Item = &Array> {
        self.inputs.iter().chain(&self.labels)
    }

    /// Samples of the split.
    pub(super) fn samples(&self) -> usize {
        self.inputs[0].samples()
    }

    fn check_shapes(&self) -> Result<(), Rejection> {
        let first = &self.inputs[0];
        if self.samples() < MIN_SAMPLES {
            return Err(invalid(format!(
                "`{}` has {} samples; at least {MIN_SAMPLES} are needed.",
                first.name,
                self.samples()
            ))
            .at(&first.name));
        }
        for input in &self.inputs[1..] {
            if input.samples() != self.samples() {
                return Err(invalid(format!(
                    "`{}` has {} samples, but `{}` has {}; every input needs one for each sample.",
                    first.name,
                    self.samples(),
                    input.name,
                    input.samples()
                ))
                .at(&input.name));
            }
        }
        if let [only] = &self.inputs[..]
            && only.sample_shape().is_empty()
        {
            return Err(invalid(format!(
                "`{}` has shape {:?}: one number for each sample; the first dimension counts the samples, and at least one more is needed.",
                only.name, only.shape
            ))
            .at(&only.name));
        }
        let Some(labels) = &self.labels else {
            return Ok(());
        };
        if labels.samples() != self.samples() {
            return Err(invalid(format!(
                "`{}` has {} samples, but `{}` has {} labels; there must be one for each sample.",
                first.name,
                self.samples(),
                labels.name,
                labels.samples()
            ))
            .at(&labels.name));
        }
        Ok(())
    }

    /// Checks a validation or test part against the training part.
    fn check_fits(&self, train: &Self) -> Result<(), Rejection> {
        if self.inputs.len() != train.inputs.len() {
            return Err(invalid(format!(
                "`{}` is one of {} inputs, but the training samples have {}; every split needs all of them.",
                self.inputs[0].name,
                self.inputs.len(),
                train.inputs.len()
            ))
            .at(&self.inputs[0].name));
        }
        for (samples, train_samples) in self.inputs.iter().zip(&train.inputs) {
            let of_split = [Split::Val, Split::Test].map(Split::suffix);
            if !of_split.iter().any(|suffix| samples.name.strip_suffix(suffix) == Some(&train_samples.name)) {
                return Err(invalid(format!(
                    "`{}` is in the place of `{}`; every split needs the same inputs.",
                    samples.name, train_samples.name
                ))
                .at(&samples.name));
            }
            check_alike(samples, train_samples)?;
        }
        match (&self.labels, &train.labels) {
            (None, Some(_)) => Err(invalid(format!(
                "`{}` has no labels, but `{}` has; with `y` every split needs its own.",
                self.inputs[0].name, train.inputs[0].name
            ))
            .at(&self.inputs[0].name)),
            (Some(labels), None) => {
                Err(invalid(format!("The array `y` is missing, but `{}` is there.", labels.name)).at("y"))
            }
            (Some(labels), Some(train_labels)) if labels.sample_shape() != train_labels.sample_shape() => {
                Err(invalid(format!(
                    "The label of one sample of `{}` has shape {:?}, but of `{}` it has {:?}; they must be equal.",
                    labels.name,
                    labels.sample_shape(),
                    train_labels.name,
                    train_labels.sample_shape()
                ))
                .at(&labels.name))
            }
            _ => Ok(()),
        }
    }
}

fn check_alike(samples: &Array, train_samples: &Array) -> Result<(), Rejection> {
    if samples.sample_shape() != train_samples.sample_shape() {
        return Err(invalid(format!(
            "One sample of `{}` has shape {:?}, but one of `{}` has {:?}; they must be equal.",
            samples.name,
            samples.sample_shape(),
            train_samples.name,
            train_samples.sample_shape()
        ))
        .at(&samples.name));
    }
    if samples.number.is_float() != train_samples.number.is_float() {
        return Err(invalid(format!(
            "`{}` is {}, but `{}` is {}; both must be integers or both floats, or their values would have different scales.",
            samples.name,
            samples.number.name(),
            train_samples.name,
            train_samples.number.name()
        ))
        .at(&samples.name));
    }
    Ok(())
}

/// The index of an element from its position in memory.
pub(super) fn index_of(mut position: usize, shape: &[usize]) -> Vec<usize> {
    let mut index: Vec<usize> = shape
        .iter()
        .rev()
        .map(|&size| {
            let at = position % size;
            position /= size;
            at
        })
        .collect();
    index.reverse();
    index
}

/// An index as a reader writes it: that of one sample is a plain number.
pub(super) fn index_text(index: &[usize]) -> String {
    match index {
        [only] => only.to_string(),
        _ => format!("{index:?}"),
    }
}

fn range(array: &Array, file: &Arc<File>) -> Result<Range, Rejection> {
    let mut range = Range::EMPTY;
    if array.number.is_byte() {
        // Pictures: far more numbers than anything else has.
        array.for_each_piece(file, |_, bytes| {
            bytes.iter().min().into_iter().chain(bytes.iter().max()).for_each(|&byte| range.add(byte.into()));
            Ok(())
        })?;
        return Ok(range);
    }
    for_each_number(array, file, |_, value| {
        range.add(value);
        Ok(())
    })?;
    Ok(range)
}

/// Whether the numbers of one sample add up to 1, as far as float32 tells.
fn is_distribution(sum: f64) -> bool {
    (sum - 1.0).abs() < 1e-3
}

fn label_facts(labels: &Array, file: &Arc<File>) -> Result<LabelFacts, Rejection> {
    let elements = labels.sample_elements().max(1);
    let (mut range, mut are_whole, mut are_distributions) = (Range::EMPTY, true, elements > 1);
    let mut sum = 0.0;
    for_each_number(labels, file, |position, value| {
        if labels.number.is_integer() && value < 0.0 && value as i64 != IGNORED && labels.sample_shape().is_empty() {
            return Err(invalid(format!(
                "`{}` has the label {value} at index {position}; labels are whole numbers from 0 to the number of classes − 1.",
                labels.name
            ))
            .at(&labels.name)
            .hint("Save values that are no classes as float32."));
        }
        are_whole &= value.fract() == 0.0;
        if value as i64 != IGNORED || !are_whole {
            range.add(value);
        }
        are_distributions &= value >= 0.0;
        sum += value;
        if (position + 1) % elements == 0 {
            are_distributions &= is_distribution(sum);
            sum = 0.0;
        }
        Ok(())
    })?;
    Ok(LabelFacts { range, are_whole, are_distributions })
}

/// Gives every number with its position; refuses the first that is not finite in float32 or beyond int64.
pub(super) fn for_each_number(
    array: &Array,
    file: &Arc<File>,
    mut use_number: impl FnMut(usize, f64) -> Result<(), Rejection>,
) -> Result<(), Rejection> {
    array.for_each_piece(file, |first, bytes| {
        let mut position = first;
        let mut result = Ok(());
        let unusable = |text: String, position: usize, what: &str| {
            invalid(format!(
                "`{}` has the value {text} at index {} ({}); {what}.",
                array.name,
                index_text(&index_of(position, &array.shape)),
                array.number.name()
            ))
            .at(&array.name)
        };
        if array.number.is_float() {
            array.number.for_each_float(bytes, |value| {
                if result.is_ok() {
                    result = if value.is_finite() {
                        use_number(position, value.into())
                    } else {
                        let text = if value.is_nan() { "NaN".to_owned() } else { value.to_string() };
                        Err(unusable(text, position, "all values must be finite in float32"))
                    };
                }
                position += 1;
            });
        } else {
            array.number.for_each_integer(bytes, |value| {
                if result.is_ok() {
                    result = match value {
                        Ok(value) => use_number(position, value as f64),
                        Err(text) => Err(unusable(text, position, "whole numbers are at most 9223372036854775807")),
                    };
                }
                position += 1;
            });
        }
        result
    })
}

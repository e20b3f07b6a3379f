//! What must hold of the arrays together, and of every value in them.

use std::fs::File;
use std::sync::Arc;

use super::array::Array;
use super::{MIN_SAMPLES, Split, invalid};
use crate::rejection::Rejection;

/// The arrays of one split.
#[derive(Debug, Clone)]
pub(super) struct SplitArrays {
    pub samples: Array,
    pub labels: Option<Array>,
    /// The largest label, known once the labels were read.
    pub max_label: Option<i64>,
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
                .hint("Save the samples as `x` and their labels as `y`; both may also have `_val` and `_test`.")
        })?;
        let parts = Self { val: named.part(Split::Val)?, test: named.part(Split::Test)?, train };
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

    /// Reads every array: samples must be finite, labels must be labels, checksums must be right.
    pub(super) fn check_values(&mut self, file: &Arc<File>) -> Result<(), Rejection> {
        for part in [Some(&mut self.train), self.val.as_mut(), self.test.as_mut()].into_iter().flatten() {
            check_samples(&part.samples, file)?;
            if let Some(labels) = &part.labels {
                part.max_label = Some(max_label(labels, file)?);
            }
        }
        Ok(())
    }
}

struct Named(Vec<Array>);

impl Named {
    fn new(arrays: Vec<Array>) -> Result<Self, Rejection> {
        for array in &arrays {
            let allowed = [Split::Train, Split::Val, Split::Test]
                .into_iter()
                .any(|split| [split.samples_name(), split.labels_name()].contains(&array.name.as_str()));
            if !allowed {
                let hint = match array.name.as_str() {
                    "arr_0" | "X" | "x_train" | "X_train" | "train_x" | "images" | "data" | "inputs" => Some("x"),
                    "arr_1" | "Y" | "y_train" | "Y_train" | "train_y" | "labels" | "targets" | "label" => Some("y"),
                    _ => None,
                };
                let rejection = invalid(format!(
                    "The array `{}` is unknown; allowed are `x`, `y`, `x_val`, `y_val`, `x_test` and `y_test`.",
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

    fn part(&mut self, split: Split) -> Result<Option<SplitArrays>, Rejection> {
        let labels = self.take(split.labels_name());
        match (self.take(split.samples_name()), labels) {
            (Some(samples), labels) => Ok(Some(SplitArrays { samples, labels, max_label: None })),
            (None, None) => Ok(None),
            (None, Some(labels)) => Err(invalid(format!(
                "The array `{}` is missing, but its labels `{}` are there.",
                split.samples_name(),
                labels.name
            ))
            .at(split.samples_name())),
        }
    }
}

impl SplitArrays {
    fn check_shapes(&self) -> Result<(), Rejection> {
        let Self { samples, labels, .. } = self;
        if !samples.number.is_sample() {
            return Err(invalid(format!(
                "`{}` is {}; samples are uint8, float32, or float64, float16 and bfloat16, which become float32.",
                samples.name,
                samples.number.name()
            ))
            .at(&samples.name)
            .hint(format!("Save `{}.astype(np.float32)`.", samples.name)));
        }
        if samples.sample_shape().is_empty() {
            return Err(invalid(format!(
                "`{}` has shape {:?}: one number for each sample; the first dimension counts the samples, and at least one more is needed.",
                samples.name, samples.shape
            ))
            .at(&samples.name));
        }
        if samples.samples() < MIN_SAMPLES {
            return Err(invalid(format!(
                "`{}` has {} samples; at least {MIN_SAMPLES} are needed.",
                samples.name,
                samples.samples()
            ))
            .at(&samples.name));
        }
        let Some(labels) = labels else {
            return Ok(());
        };
        let label_shape_hint = match labels.shape[..] {
            [_] => None,
            [_, 1] => Some(format!("Save `{0}[:, 0]`.", labels.name)),
            _ => Some(format!("Save `{0}.argmax(axis=1)` if `{0}` is one-hot.", labels.name)),
        };
        if let Some(hint) = label_shape_hint {
            return Err(invalid(format!(
                "`{}` has shape {:?}; one label for each sample is needed, shape [{}].",
                labels.name,
                labels.shape,
                samples.samples()
            ))
            .at(&labels.name)
            .hint(hint));
        }
        if labels.samples() != samples.samples() {
            return Err(invalid(format!(
                "`{}` has {} samples, but `{}` has {} labels; there must be one for each sample.",
                samples.name,
                samples.samples(),
                labels.name,
                labels.samples()
            ))
            .at(&labels.name));
        }
        Ok(())
    }

    /// Checks a validation or test part against the training part.
    fn check_fits(&self, train: &Self) -> Result<(), Rejection> {
        let (samples, train_samples) = (&self.samples, &train.samples);
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
                "`{}` is {}, but `{}` is {}; both must be uint8 or both floats, or their values would have different scales.",
                samples.name,
                samples.number.name(),
                train_samples.name,
                train_samples.number.name()
            ))
            .at(&samples.name));
        }
        match (&self.labels, &train.labels) {
            (None, Some(_)) => Err(invalid(format!(
                "`{}` has no labels, but `{}` has; with `y` every split needs its own.",
                samples.name, train_samples.name
            ))
            .at(&samples.name)),
            (Some(labels), None) => {
                Err(invalid(format!("The array `y` is missing, but `{}` is there.", labels.name)).at("y"))
            }
            _ => Ok(()),
        }
    }
}

fn check_samples(samples: &Array, file: &Arc<File>) -> Result<(), Rejection> {
    samples.for_each_piece(file, |first, bytes| {
        if !samples.number.is_float() {
            return Ok(());
        }
        let mut fault = None;
        let mut position = first;
        samples.number.for_each_float(bytes, |value| {
            if !value.is_finite() && fault.is_none() {
                fault = Some((value, position));
            }
            position += 1;
        });
        match fault {
            None => Ok(()),
            Some((value, position)) => Err(invalid(format!(
                "`{}` has the value {} at index {:?} ({}); all values must be finite in float32.",
                samples.name,
                if value.is_nan() { "NaN".to_owned() } else { value.to_string() },
                index_of(position, &samples.shape),
                samples.number.name()
            ))
            .at(&samples.name)),
        }
    })
}

/// The index of an element from its position in memory.
fn index_of(mut position: usize, shape: &[usize]) -> Vec<usize> {
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

fn max_label(labels: &Array, file: &Arc<File>) -> Result<i64, Rejection> {
    let mut max = 0;
    for_each_label(labels, file, |_, label| {
        max = max.max(label);
        Ok(())
    })?;
    Ok(max)
}

/// Gives every label with its index; refuses the first that is none.
pub(super) fn for_each_label(
    labels: &Array,
    file: &Arc<File>,
    mut use_label: impl FnMut(usize, i64) -> Result<(), Rejection>,
) -> Result<(), Rejection> {
    labels.for_each_piece(file, |first, bytes| {
        let mut index = first;
        let mut result = Ok(());
        labels.number.for_each_label(bytes, |label| {
            if result.is_ok() {
                result = match label {
                    Ok(label) => use_label(index, label),
                    Err(text) => Err(invalid(format!(
                        "`{}` has the label {text} at index {index}; labels are whole numbers from 0 to the number of classes − 1.",
                        labels.name
                    ))
                    .at(&labels.name)),
                };
            }
            index += 1;
        });
        result
    })
}

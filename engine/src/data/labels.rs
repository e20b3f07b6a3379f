//! The labels of a split, with what they are to the network.

use secateur_core::recovery::{Supervision, SupervisionLoss};
use tch::{Kind, Tensor};

use super::Column;
use crate::error::Error;
use crate::process::memory;

/// Samples that the spread of values is measured on.
const SAMPLES: i64 = 4096;

/// What belongs to every sample of a split.
pub struct Labels {
    values: Column,
    supervision: Supervision,
    /// Which of the network's answers they are for.
    answer: usize,
    /// Of values: their standard deviation, one for each channel in a shape that arranged answers are divided by.
    deviation: Option<Tensor>,
}

impl Labels {
    pub(super) fn new(values: Column, supervision: Supervision, answer: usize) -> Result<Self, Error> {
        let deviation = match supervision.loss {
            SupervisionLoss::Mse | SupervisionLoss::L1 | SupervisionLoss::Huber => {
                const FLOAT: i64 = 4;
                let bytes = FLOAT * values.sample_shape().iter().product::<i64>().max(1);
                let samples = SAMPLES.min((memory::share() as i64 / bytes).max(2)).min(values.count());
                let first = values.range(0, samples)?;
                Some(deviation(&first, supervision.axis_behind_batch())?)
            }
            _ => None,
        };
        Ok(Self { values, supervision, answer, deviation })
    }

    /// Labels in memory, for the network's first output.
    #[cfg(test)]
    pub(crate) fn of_tensor(values: Tensor, supervision: Supervision) -> Self {
        Self::new(Column::InMemory(values), supervision, 0).unwrap()
    }

    pub fn supervision(&self) -> &Supervision {
        &self.supervision
    }

    /// The answer that they are for.
    pub fn answer<'a>(&self, answers: &'a [Tensor]) -> Result<&'a Tensor, Error> {
        answers.get(self.answer).ok_or_else(|| Error::internal("the network has no output that the labels are for"))
    }

    /// Standard deviation of values, in a shape that answers are divided by which have the batch in front.
    pub fn deviation(&self) -> Option<&Tensor> {
        self.deviation.as_ref()
    }

    /// Of what belongs to one sample.
    pub(super) fn shape(&self) -> Vec<i64> {
        self.values.sample_shape()
    }

    /// Those of consecutive samples.
    pub fn range(&self, start: i64, count: i64) -> Result<Tensor, Error> {
        self.values.range(start, count)
    }

    /// Those of samples by index.
    pub fn select(&self, indices: &Tensor) -> Result<Tensor, Error> {
        self.values.select(indices)
    }
}

/// Channels that never vary are measured in their own unit.
fn deviation(values: &Tensor, axis: usize) -> Result<Tensor, Error> {
    let others: Vec<i64> = (0..values.dim()).filter(|&dim| dim != axis).map(|dim| dim as i64).collect();
    let deviation = values.f_to_kind(Kind::Float)?.f_var_dim(others.as_slice(), false, true)?.f_sqrt()?;
    Ok(deviation.f_where_self(&deviation.f_gt(0.0)?, &deviation.f_ones_like()?)?)
}

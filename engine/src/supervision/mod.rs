//! Learning and measuring with labels: the loss that a network is trained with and the metric that it is judged by, for every kind of
//! output that labels can belong to. Which loss and which metric is [`secateur_core::recovery::Supervision`]'s to say.

mod loss;
mod sequence;
mod tally;

pub use loss::{Smoothing, supervised_loss};
pub use tally::{Judged, Tally};

use secateur_core::dataset::IGNORED;
use secateur_core::recovery::{Supervision, SupervisionLoss};
use tch::{Kind, Tensor};

use crate::data::Labels;
use crate::error::Error;

/// An answer and its labels in the shapes that losses compare.
struct Pair {
    /// float32, the batch in front; where the labels are of classes these are on axis 1.
    answer: Tensor,
    /// Numbers of classes: int64, the shape of the answer without its axis 1, and [`IGNORED`] where a place does not count. Anything else:
    /// float32 in the shape of the answer.
    labels: Tensor,
}

impl Pair {
    fn of(labels: &Labels, answers: &[Tensor], batch: &Tensor) -> Result<Self, Error> {
        let supervision = labels.supervision();
        let answer = labels.answer(answers)?.f_to_kind(Kind::Float)?.f_movedim_int(supervision.batch_axis as i64, 0)?;
        let axis = supervision.axis_behind_batch() as i64;
        match supervision.loss {
            SupervisionLoss::CrossEntropy => {
                let answer = answer.f_movedim_int(axis, 1)?;
                let size = answer.size();
                let places: Vec<i64> = [&size[..1], &size[2..]].concat();
                let labels = batch.f_to_kind(Kind::Int64)?.f_reshape(&places)?;
                Ok(Self { answer, labels: left_out(&labels, supervision)? })
            }
            SupervisionLoss::Ctc { .. } => Ok(Self {
                answer: answer.f_movedim_int(axis, 1)?,
                labels: batch.f_to_kind(Kind::Int64)?.f_flatten(1, -1)?,
            }),
            SupervisionLoss::SoftCrossEntropy => {
                let labels = batch.f_to_kind(Kind::Float)?.f_reshape(answer.size())?;
                Ok(Self { answer: answer.f_movedim_int(axis, 1)?, labels: labels.f_movedim_int(axis, 1)? })
            }
            SupervisionLoss::Bce | SupervisionLoss::Mse | SupervisionLoss::L1 | SupervisionLoss::Huber => {
                let labels = batch.f_to_kind(Kind::Float)?.f_reshape(answer.size())?;
                Ok(Self { answer, labels })
            }
        }
    }
}

/// The labels with every place that does not count marked in PyTorch's way.
fn left_out(labels: &Tensor, supervision: &Supervision) -> Result<Tensor, Error> {
    match supervision.ignore_index {
        Some(ignored) => Ok(labels.f_masked_fill(&labels.f_eq(ignored)?, IGNORED)?),
        None => Ok(labels.shallow_clone()),
    }
}

/// 1 where an element counts, else 0; float32.
fn counts(labels: &Tensor, supervision: &Supervision) -> Result<Tensor, Error> {
    let mut counts = labels.f_ne(IGNORED)?;
    if let Some(ignored) = supervision.ignore_index {
        counts = counts.f_logical_and(&labels.f_ne(ignored)?)?;
    }
    Ok(counts.f_to_kind(Kind::Float)?)
}

#[cfg(test)]
mod tests;

//! The losses with labels, each the mean over what counts.

use secateur_core::recovery::SupervisionLoss;
use tch::{Device, Kind, Reduction, Tensor};

use super::sequence::lengths;
use super::{IGNORED, Pair, counts};
use crate::data::Labels;
use crate::error::Error;

/// Whether a loss is to be learnt from or to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Smoothing {
    /// As the spec asks for.
    AsAsked,
    /// The labels as they are.
    None,
}

/// The loss of a network's answers with `batch`, labels that were taken from `labels`.
///
/// # Errors
/// libtorch's.
pub fn supervised_loss(
    labels: &Labels,
    answers: &[Tensor],
    batch: &Tensor,
    smoothing: Smoothing,
) -> Result<Tensor, Error> {
    loss_of(labels, &Pair::of(labels, answers, batch)?, smoothing)
}

pub(super) fn loss_of(labels: &Labels, pair: &Pair, smoothing: Smoothing) -> Result<Tensor, Error> {
    let supervision = labels.supervision();
    let Pair { answer, labels: wanted } = pair;
    let smoothing = if smoothing == Smoothing::AsAsked { supervision.label_smoothing } else { 0.0 };
    match supervision.loss {
        SupervisionLoss::CrossEntropy => {
            let sum = answer.f_cross_entropy_loss(wanted, None::<Tensor>, Reduction::Sum, IGNORED, smoothing)?;
            let places = wanted.f_ne(IGNORED)?.f_sum(Kind::Float)?.f_clamp_min(1.0)?;
            Ok(sum.f_div(&places)?)
        }
        SupervisionLoss::SoftCrossEntropy => {
            // PyTorch's mean is over the samples, and not over the places.
            let places = wanted.numel() as i64 / wanted.size().get(1).copied().unwrap_or(1).max(1);
            let sum = answer.f_cross_entropy_loss(wanted, None::<Tensor>, Reduction::Sum, IGNORED, smoothing)?;
            Ok(sum.f_div_scalar(places.max(1))?)
        }
        SupervisionLoss::Bce => {
            let counts = counts(wanted, supervision)?;
            let none = None::<&Tensor>;
            let sum = answer.f_binary_cross_entropy_with_logits(wanted, Some(&counts), none, Reduction::Sum)?;
            Ok(sum.f_div(&counts.f_sum(Kind::Float)?.f_clamp_min(1.0)?)?)
        }
        SupervisionLoss::Mse => Ok(standardised(labels, pair)?.f_square()?.f_mean(Kind::Float)?),
        SupervisionLoss::L1 => Ok(standardised(labels, pair)?.f_abs()?.f_mean(Kind::Float)?),
        SupervisionLoss::Huber => {
            let difference = standardised(labels, pair)?;
            Ok(difference.f_huber_loss(&difference.f_zeros_like()?, Reduction::Mean, 1.0)?)
        }
        SupervisionLoss::Ctc { blank } => ctc(labels, pair, i64::from(blank)),
    }
}

/// The difference in standard deviations of the labels' channel.
fn standardised(labels: &Labels, pair: &Pair) -> Result<Tensor, Error> {
    let difference = pair.answer.f_sub(&pair.labels)?;
    match labels.deviation() {
        Some(deviation) => Ok(difference.f_div(deviation)?),
        None => Ok(difference),
    }
}

/// As PyTorch's `CTCLoss(zero_infinity=True)`: each sample's loss over its label's length, then the mean.
fn ctc(labels: &Labels, pair: &Pair, blank: i64) -> Result<Tensor, Error> {
    let scores = pair.answer.f_permute([2, 0, 1])?.f_log_softmax(2, Kind::Float)?;
    let (steps, samples, _) = scores.size3()?;
    let lengths = lengths(&pair.labels, labels.supervision(), blank)?;
    // What stands behind a label's end is never read, but must be the number of a class.
    let targets = pair.labels.f_clamp_min(0)?;
    let input_lengths = vec![steps; samples as usize];
    let target_lengths = Vec::<i64>::try_from(&lengths.f_to(Device::Cpu)?)?;
    Ok(Tensor::f_ctc_loss(&scores, &targets, &input_lengths, &target_lengths, blank, Reduction::Mean, true)?)
}

//! What a network is worth on a split: accuracy with labels, else how true it is to the original.

use secateur_core::recovery::{Accuracy, Measure, Score};
use tch::{Kind, Reduction, Tensor};

use crate::data::{EVALUATION_BATCH, Split, ranges};
use crate::error::Error;
use crate::network::Network;
use crate::output::{Outputs, share_of_equal};

/// Answers of the original that are kept at most, elements: 1 GiB of float32.
pub const KEPT_ELEMENTS: i64 = 1 << 28;

/// Share of samples whose class of largest score is the label; `None` without labels or samples.
pub fn accuracy(network: &Network, split: &Split) -> Result<Option<f64>, Error> {
    match split.labels() {
        Some(labels) if split.count() > 0 => Ok(Some(labelled(network, split, labels)?.0)),
        _ => Ok(None),
    }
}

/// Accuracy on both held-out splits; `None` when one of them has no labels.
pub fn held_out(network: &Network, val: &Split, test: &Split) -> Result<Option<Accuracy>, Error> {
    let (val, test) = (accuracy(network, val)?, accuracy(network, test)?);
    Ok(val.zip(test).map(|(val, test)| Accuracy { val, test }))
}

/// The answer that labels are for: the first.
pub fn scores(answers: &[Tensor]) -> Result<&Tensor, Error> {
    answers.first().ok_or_else(|| Error::internal("the network has no tensor output"))
}

/// Accuracy and mean cross-entropy, nats.
fn labelled(network: &Network, split: &Split, labels: &Tensor) -> Result<(f64, f64), Error> {
    let _no_grad = tch::no_grad_guard();
    let (mut right, mut loss) = (0.0, 0.0);
    for range in ranges(split.count(), EVALUATION_BATCH) {
        let (start, count) = (range.start, range.end - range.start);
        let answers = network.answers(&[split.range(range)?])?;
        let (scores, labels) = (scores(&answers)?, labels.f_narrow(0, start, count)?);
        let cross_entropy = scores.f_cross_entropy_loss(&labels, None::<Tensor>, Reduction::Sum, -100, 0.0)?;
        loss += cross_entropy.f_double_value(&[])?;
        right += share_of_equal(&scores.f_argmax(1, false)?, &labels)? * count as f64;
    }
    let count = split.count().max(1) as f64;
    Ok((right / count, loss / count))
}

/// The original's answers on a split, for those that are to come near to them.
pub enum Reference<'a> {
    /// On every sample, computed once; an output that does not begin with the batch cannot be kept.
    Kept(Vec<Tensor>),
    /// Asked every time.
    Live(&'a Network),
}

impl<'a> Reference<'a> {
    /// Kept when all answers together are small enough.
    pub fn of(original: &'a Network, split: &Split) -> Result<Self, Error> {
        let count = split.count();
        if count == 0 {
            return Ok(Self::Live(original));
        }
        let first = original.answers(&[split.range(0..count.min(2))?])?;
        let begins_with_batch = original.batch_axes().iter().all(|&axis| axis == Some(0));
        let elements: i64 = first.iter().map(|answer| answer.numel() as i64).sum::<i64>() / count.min(2);
        if !begins_with_batch || elements.saturating_mul(count) > KEPT_ELEMENTS {
            return Ok(Self::Live(original));
        }
        let mut parts: Vec<Vec<Tensor>> = Vec::new();
        for range in ranges(count, EVALUATION_BATCH) {
            let answers = original.answers(&[split.range(range)?])?;
            parts.resize_with(answers.len(), Vec::new);
            parts.iter_mut().zip(answers).for_each(|(part, answer)| part.push(answer));
        }
        Ok(Self::Kept(parts.iter().map(|part| Tensor::f_cat(part, 0)).collect::<Result<_, _>>()?))
    }

    /// On consecutive samples, which are `input`.
    pub fn range(&self, start: i64, count: i64, input: &Tensor) -> Result<Vec<Tensor>, Error> {
        match self {
            Self::Kept(answers) => answers.iter().map(|answer| Ok(answer.f_narrow(0, start, count)?)).collect(),
            Self::Live(original) => original.answers(&[input.shallow_clone()]),
        }
    }

    /// On samples by index, which are `input`.
    pub fn select(&self, indices: &Tensor, input: &Tensor) -> Result<Vec<Tensor>, Error> {
        match self {
            Self::Kept(answers) => answers.iter().map(|answer| Ok(answer.f_index_select(0, indices)?)).collect(),
            Self::Live(original) => original.answers(&[input.shallow_clone()]),
        }
    }
}

/// Measures networks on one split against labels, or against one original.
pub struct Validator<'a> {
    outputs: &'a Outputs,
    split: &'a Split,
    reference: Option<Reference<'a>>,
}

impl<'a> Validator<'a> {
    pub fn new(original: &'a Network, outputs: &'a Outputs, split: &'a Split) -> Result<Self, Error> {
        let reference = match split.labels() {
            Some(_) => None,
            None => Some(Reference::of(original, split)?),
        };
        Ok(Self { outputs, split, reference })
    }

    /// What [`Self::value`] is.
    pub fn measure(&self) -> Measure {
        if self.reference.is_none() { Measure::Accuracy } else { self.outputs.measure() }
    }

    /// What networks are compared by before they are trained.
    pub fn value(&self, network: &Network) -> Result<f64, Error> {
        let score = self.score(network)?;
        Ok(score.accuracy.or(score.fidelity).unwrap_or(0.0))
    }

    /// Accuracy and cross-entropy, without labels fidelity and the distillation loss; a loss that is not finite is
    /// [`Score::WORST_LOSS`].
    pub fn score(&self, network: &Network) -> Result<Score, Error> {
        let (accuracy, fidelity, loss) = match (&self.reference, self.split.labels()) {
            _ if self.split.count() == 0 => (None, None, 0.0),
            (None, Some(labels)) => {
                let (accuracy, loss) = labelled(network, self.split, labels)?;
                (Some(accuracy), None, loss)
            }
            (Some(reference), _) => {
                let (fidelity, loss) = self.compared(network, reference)?;
                (None, Some(fidelity), loss)
            }
            (None, None) => return Err(Error::internal("a split without labels and without the original's answers")),
        };
        Ok(Score { accuracy, fidelity, loss: if loss.is_finite() { loss } else { Score::WORST_LOSS } })
    }

    fn compared(&self, network: &Network, reference: &Reference) -> Result<(f64, f64), Error> {
        let _no_grad = tch::no_grad_guard();
        let (mut fidelity, mut loss) = (0.0, 0.0);
        for range in ranges(self.split.count(), EVALUATION_BATCH) {
            let (start, count) = (range.start, range.end - range.start);
            let input = self.split.range(range)?;
            let targets = reference.range(start, count, &input)?;
            let answers = network.answers(&[input])?;
            let share = count as f64 / self.split.count() as f64;
            fidelity += share * self.outputs.fidelity(&answers, &targets)?;
            let distilled = self.outputs.distillation(&answers, &targets)?;
            loss += share * distilled.f_to_kind(Kind::Double)?.f_double_value(&[])?;
        }
        Ok((fidelity, loss))
    }
}

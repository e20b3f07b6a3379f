//! What a network is worth on a split: by the labels, else how true it is to the original.

use secateur_core::recovery::{Accuracy, Measure, Score};
use tch::{Kind, Tensor};

use crate::data::Split;
use crate::error::Error;
use crate::network::Network;
use crate::output::Outputs;
use crate::process::memory;
use crate::supervision::{Judged, Tally};

/// Answers of the original that are kept at most, elements: 1 GiB of float32, or a share of the memory.
pub fn kept_elements() -> i64 {
    (1 << 28).min(memory::share() as i64 / 4)
}

/// What a network is worth by the labels of a split; `None` without labels or samples.
pub fn with_labels(network: &Network, split: &Split) -> Result<Option<Judged>, Error> {
    let Some(labels) = split.labels().filter(|_| split.count() > 0) else { return Ok(None) };
    let mut tally = Tally::new(labels);
    for range in split.ranges(split.count()) {
        let (start, count) = (range.start, range.end - range.start);
        tally.add(&network.answers(&split.range(range)?)?, &labels.range(start, count)?)?;
    }
    Ok(Some(tally.finish()?))
}

/// Accuracy on both held-out splits; `None` where one of them has no labels or something else is measured with them.
pub fn held_out(network: &Network, val: &Split, test: &Split) -> Result<Option<Accuracy>, Error> {
    let is_accuracy =
        |split: &Split| split.labels().is_some_and(|labels| labels.supervision().metric == Measure::Accuracy);
    if !is_accuracy(val) || !is_accuracy(test) {
        return Ok(None);
    }
    let (val, test) = (with_labels(network, val)?, with_labels(network, test)?);
    Ok(val.zip(test).map(|(val, test)| Accuracy { val: val.value, test: test.value }))
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
        let first = original.answers(&split.range(0..count.min(2))?)?;
        let begins_with_batch = original.batch_axes().iter().all(|&axis| axis == Some(0));
        let elements: i64 = first.iter().map(|answer| answer.numel() as i64).sum::<i64>() / count.min(2);
        if !begins_with_batch || elements.saturating_mul(count) > kept_elements() {
            return Ok(Self::Live(original));
        }
        let mut parts: Vec<Vec<Tensor>> = Vec::new();
        for range in split.ranges(count) {
            let answers = original.answers(&split.range(range)?)?;
            parts.resize_with(answers.len(), Vec::new);
            parts.iter_mut().zip(answers).for_each(|(part, answer)| part.push(answer));
        }
        Ok(Self::Kept(parts.iter().map(|part| Tensor::f_cat(part, 0)).collect::<Result<_, _>>()?))
    }

    /// On consecutive samples, which are `inputs`.
    pub fn range(&self, start: i64, count: i64, inputs: &[Tensor]) -> Result<Vec<Tensor>, Error> {
        match self {
            Self::Kept(answers) => answers.iter().map(|answer| Ok(answer.f_narrow(0, start, count)?)).collect(),
            Self::Live(original) => original.answers(inputs),
        }
    }

    /// On samples by index, which are `inputs`.
    pub fn select(&self, indices: &Tensor, inputs: &[Tensor]) -> Result<Vec<Tensor>, Error> {
        match self {
            Self::Kept(answers) => answers.iter().map(|answer| Ok(answer.f_index_select(0, indices)?)).collect(),
            Self::Live(original) => original.answers(inputs),
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
        match self.split.labels() {
            Some(labels) => labels.supervision().metric,
            None => self.outputs.measure(),
        }
    }

    /// What networks are compared by before they are trained.
    pub fn value(&self, network: &Network) -> Result<f64, Error> {
        Ok(self.score(network)?.value().unwrap_or(0.0))
    }

    /// The metric and the loss with the labels, without labels fidelity and the distillation loss.
    pub fn score(&self, network: &Network) -> Result<Score, Error> {
        Ok(self.scored(network)?.0)
    }

    /// The same with what else is usual to measure with such labels.
    pub fn scored(&self, network: &Network) -> Result<(Score, Vec<(Measure, f64)>), Error> {
        if self.split.count() == 0 {
            return Ok((Score::new(self.measure(), None, 0.0), Vec::new()));
        }
        if let Some(judged) = with_labels(network, self.split)? {
            return Ok((Score::new(self.measure(), Some(judged.value), judged.loss), judged.others));
        }
        let reference = self.reference.as_ref();
        let reference =
            reference.ok_or_else(|| Error::internal("a split without labels and without the original's answers"))?;
        let (fidelity, loss) = self.compared(network, reference)?;
        Ok((Score::new(self.measure(), Some(fidelity), loss), Vec::new()))
    }

    fn compared(&self, network: &Network, reference: &Reference) -> Result<(f64, f64), Error> {
        let _no_grad = tch::no_grad_guard();
        let (mut fidelity, mut loss) = (0.0, 0.0);
        for range in self.split.ranges(self.split.count()) {
            let (start, count) = (range.start, range.end - range.start);
            let inputs = self.split.range(range)?;
            let targets = reference.range(start, count, &inputs)?;
            let answers = network.answers(&inputs)?;
            let share = count as f64 / self.split.count() as f64;
            fidelity += share * self.outputs.fidelity(&answers, &targets)?;
            let distilled = self.outputs.distillation(&answers, &targets)?;
            loss += share * distilled.f_to_kind(Kind::Double)?.f_double_value(&[])?;
        }
        Ok((fidelity, loss))
    }
}

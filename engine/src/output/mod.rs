//! The outputs of a model as losses and metrics see them: how far a cut network's answers are from the original's, output by output.
//!
//! What an output is comes from [`secateur_core::output`]; its tensor here is the one before a final softmax or sigmoid
//! ([`Network::answers`]). How much the original itself varies over samples is measured once: a network that always gives the
//! original's mean answer has a distortion of 1 in every output, so that outputs of unlike scale can be added. Class scores that are the
//! only output keep the scale of their divergence, nats, since it is mixed with the cross-entropy.

mod spread;

use secateur_core::output::{self, DistillationLoss, Objective, OutputKind, OutputSpec};
use secateur_core::recovery::{Measure, objectives};
use tch::{Device, Kind, Reduction, Tensor};

use crate::data::{Labels, Split};
use crate::error::Error;
use crate::network::Network;

use spread::Spread;

/// What is measured of the outputs of one model.
pub struct Outputs {
    parts: Vec<Part>,
}

/// Whether class distributions are softened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Softness {
    None,
    OfDistillation,
}

/// One output.
struct Part {
    objective: Objective,
    /// Which of the network's answers.
    answer: usize,
    /// Whether a sample has one distribution or vector of it, and not one at each of many places.
    is_one_a_sample: bool,
    spread: Spread,
}

impl Outputs {
    /// The outputs of `original`, whose spread is measured on some samples of the split.
    ///
    /// # Errors
    /// The spec says of an output what cannot be.
    pub fn of(original: &Network, samples: &Split, specs: &[OutputSpec]) -> Result<Self, Error> {
        let graph = original.graph();
        let values = graph.output().tensors();
        let fractional = output::fractional(graph);
        let supervision = samples.labels().map(Labels::supervision);
        let measured = objectives(graph, specs, supervision)?.into_iter().filter_map(|objective| {
            let value = values[objective.output.index];
            let answer = fractional.iter().position(|&index| index == objective.output.index)?;
            let has_batch = graph.value(value).shape.iter().any(|size| size.per_sample > 0);
            let counts = objective.output.kind != OutputKind::Ignore && objective.weight > 0.0;
            (has_batch && counts).then_some((objective, answer))
        });
        let measured: Vec<(Objective, usize)> = measured.collect();
        let answers = spread::sample_answers(original, samples)?;
        let parts = measured.into_iter().map(|(objective, answer)| {
            let spread = Spread::of(&answers[answer], &objective.output)?;
            Ok(Part { is_one_a_sample: answers[answer].dim() <= 2, objective, answer, spread })
        });
        Ok(Self { parts: parts.collect::<Result<_, Error>>()? })
    }

    /// Whether nothing of what the network returns can be measured.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Whether all that is measured are scores of classes, one distribution a sample.
    pub fn are_classes_of_samples(&self) -> bool {
        self.parts.iter().all(|part| part.kind() == OutputKind::Categorical && part.is_one_a_sample)
    }

    /// What [`Self::fidelity`] is.
    pub fn measure(&self) -> Measure {
        let measures: Vec<Measure> = self.parts.iter().map(Part::measure).collect();
        match measures.split_first() {
            Some((first, others)) if others.iter().all(|other| other == first) => *first,
            _ => Measure::Fidelity,
        }
    }

    /// The distillation loss, whose class distributions are softened.
    pub fn distillation(&self, answers: &[Tensor], targets: &[Tensor]) -> Result<Tensor, Error> {
        self.loss(answers, targets, Softness::OfDistillation)
    }

    /// The same without softening: how far a network is from the original.
    pub fn distortion(&self, answers: &[Tensor], targets: &[Tensor]) -> Result<Tensor, Error> {
        self.loss(answers, targets, Softness::None)
    }

    /// How true a network is to the original, on one batch: 1 is the same in every sample. The mean over the outputs of the share of
    /// places with the same class, of the explained deviance, of the cosine or of the explained variance, by their kinds.
    pub fn fidelity(&self, answers: &[Tensor], targets: &[Tensor]) -> Result<f64, Error> {
        let mut sum = 0.0;
        for part in &self.parts {
            sum += part.objective.weight * part.fidelity(&answers[part.answer], &targets[part.answer])?;
        }
        Ok(sum / self.weight())
    }

    /// The loss of answers against what they themselves decide: the class of largest score, yes or no for each probability, the zero of
    /// each value. Its gradient says what the outputs hang on, which that of a distillation from the same network does not: it is zero.
    pub fn against_own_decisions(&self, answers: &[Tensor]) -> Result<Tensor, Error> {
        let mut sum = Tensor::from(0.0_f32).f_to(answers.first().map_or(Device::Cpu, Tensor::device))?;
        for part in &self.parts {
            let scale = part.objective.weight / self.weight();
            sum = sum.f_add(&part.against_own_decision(&answers[part.answer])?.f_mul_scalar(scale)?)?;
        }
        Ok(sum)
    }

    fn weight(&self) -> f64 {
        self.parts.iter().map(|part| part.objective.weight).sum::<f64>().max(f64::MIN_POSITIVE)
    }

    fn loss(&self, answers: &[Tensor], targets: &[Tensor], softness: Softness) -> Result<Tensor, Error> {
        let mut sum: Option<Tensor> = None;
        for part in &self.parts {
            let temperature = match softness {
                Softness::None => 1.0,
                Softness::OfDistillation => part.objective.temperature,
            };
            let loss = part.loss(&answers[part.answer], &targets[part.answer], temperature)?;
            // Alone, a divergence between distributions has the scale of the cross-entropy that it is mixed with.
            let scale = if self.parts.len() == 1 {
                1.0
            } else {
                part.objective.weight / part.scale(temperature) / self.weight()
            };
            let loss = loss.f_mul_scalar(scale)?;
            sum = Some(match sum {
                Some(sum) => sum.f_add(&loss)?,
                None => loss,
            });
        }
        sum.ok_or_else(|| Error::internal("a loss of a model without outputs that can be measured"))
    }
}

impl Part {
    fn kind(&self) -> OutputKind {
        self.objective.output.kind
    }

    fn axis(&self) -> i64 {
        self.objective.output.axis.map_or(1, |axis| axis as i64)
    }

    fn measure(&self) -> Measure {
        match self.kind() {
            OutputKind::Categorical => Measure::Agreement,
            OutputKind::Bernoulli => Measure::ExplainedDeviance,
            OutputKind::Unit => Measure::Cosine,
            OutputKind::Values | OutputKind::Ignore => Measure::R2,
        }
    }

    fn chosen_loss(&self) -> DistillationLoss {
        self.objective.loss.unwrap_or(match self.kind() {
            OutputKind::Categorical => DistillationLoss::Kl,
            OutputKind::Bernoulli => DistillationLoss::Bce,
            OutputKind::Unit => DistillationLoss::Cosine,
            OutputKind::Values | OutputKind::Ignore => DistillationLoss::Mse,
        })
    }

    /// What the original's mean answer would have for a loss, where that is not 1 already.
    fn scale(&self, temperature: f64) -> f64 {
        match self.chosen_loss() {
            DistillationLoss::Kl => self.spread.of_classes(temperature),
            _ => 1.0,
        }
    }

    fn loss(&self, answer: &Tensor, target: &Tensor, temperature: f64) -> Result<Tensor, Error> {
        let (answer, target) = (answer.f_to_kind(Kind::Float)?, target.f_to_kind(Kind::Float)?);
        match self.chosen_loss() {
            DistillationLoss::Kl => divergence(&answer, &target, self.axis(), temperature),
            DistillationLoss::Bce => Ok(deviance(&answer, &target)?.f_div_scalar(self.spread.deviance)?),
            DistillationLoss::Cosine => {
                let cosine = Tensor::f_cosine_similarity(&answer, &target, self.axis(), 1e-8)?.f_mean(Kind::Float)?;
                Ok(cosine.f_neg()?.f_add_scalar(1.0)?.f_div_scalar(self.spread.angle)?)
            }
            DistillationLoss::Mse => Ok(self.standardised(&answer, &target)?.f_square()?.f_mean(Kind::Float)?),
            DistillationLoss::Huber => {
                let difference = self.standardised(&answer, &target)?;
                Ok(difference.f_huber_loss(&difference.f_zeros_like()?, Reduction::Mean, 1.0)?)
            }
            DistillationLoss::L1 => Ok(self.standardised(&answer, &target)?.f_abs()?.f_mean(Kind::Float)?),
        }
    }

    /// The difference in standard deviations of the channel.
    fn standardised(&self, answer: &Tensor, target: &Tensor) -> Result<Tensor, Error> {
        Ok(answer.f_sub(target)?.f_div(&self.spread.deviation)?)
    }

    fn against_own_decision(&self, answer: &Tensor) -> Result<Tensor, Error> {
        let answer = answer.f_to_kind(Kind::Float)?;
        match self.kind() {
            OutputKind::Categorical => {
                let scores = answer.f_movedim_int(self.axis(), -1)?;
                let scores = scores.f_reshape([-1, scores.size().last().copied().unwrap_or(1)])?;
                cross_entropy(&scores, &scores.f_detach()?.f_argmax(1, false)?)
            }
            OutputKind::Bernoulli => {
                let decision = answer.f_detach()?.f_gt(0.0)?.f_to_kind(Kind::Float)?;
                let none = None::<Tensor>;
                Ok(answer.f_binary_cross_entropy_with_logits(
                    &decision,
                    none.as_ref(),
                    none.as_ref(),
                    Reduction::Mean,
                )?)
            }
            OutputKind::Unit | OutputKind::Values | OutputKind::Ignore => {
                Ok(answer.f_div(&self.spread.deviation)?.f_square()?.f_mean(Kind::Float)?.f_mul_scalar(0.5)?)
            }
        }
    }

    fn fidelity(&self, answer: &Tensor, target: &Tensor) -> Result<f64, Error> {
        let (answer, target) = (answer.f_to_kind(Kind::Float)?, target.f_to_kind(Kind::Float)?);
        match self.kind() {
            OutputKind::Categorical => {
                share_of_equal(&answer.f_argmax(self.axis(), false)?, &target.f_argmax(self.axis(), false)?)
            }
            OutputKind::Bernoulli => Ok(1.0 - deviance(&answer, &target)?.f_double_value(&[])? / self.spread.deviance),
            OutputKind::Unit => Ok(Tensor::f_cosine_similarity(&answer, &target, self.axis(), 1e-8)?
                .f_mean(Kind::Double)?
                .f_double_value(&[])?),
            OutputKind::Values | OutputKind::Ignore => {
                let lost = self.standardised(&answer, &target)?.f_square()?.f_mean(Kind::Double)?;
                Ok(1.0 - lost.f_double_value(&[])?)
            }
        }
    }
}

/// Cross-entropy of scores `[N, classes]` with labels `[N]`, nats; the mean over the samples.
pub fn cross_entropy(scores: &Tensor, labels: &Tensor) -> Result<Tensor, Error> {
    Ok(scores.f_cross_entropy_loss(labels, None::<Tensor>, Reduction::Mean, -100, 0.0)?)
}

/// T² · KL(target ‖ answer) of the distributions over an axis of scores, softened by T, nats; the mean over everything else.
fn divergence(answer: &Tensor, target: &Tensor, axis: i64, temperature: f64) -> Result<Tensor, Error> {
    let soft = answer.f_div_scalar(temperature)?.f_log_softmax(axis, Kind::Float)?;
    let soft_target = target.f_div_scalar(temperature)?.f_log_softmax(axis, Kind::Float)?;
    let classes = answer.size().get(axis as usize).copied().unwrap_or(1).max(1);
    let distributions = (answer.numel() as i64 / classes).max(1);
    let sum = soft.f_kl_div(&soft_target, Reduction::Sum, true)?;
    Ok(sum.f_mul_scalar(temperature * temperature / distributions as f64)?)
}

/// KL divergence of the probabilities that belong to these logits, nats; the mean over the elements.
fn deviance(answer: &Tensor, target: &Tensor) -> Result<Tensor, Error> {
    let probability = target.f_sigmoid()?;
    let none = None::<Tensor>;
    let cross =
        answer.f_binary_cross_entropy_with_logits(&probability, none.as_ref(), none.as_ref(), Reduction::Mean)?;
    let own = target.f_binary_cross_entropy_with_logits(&probability, none.as_ref(), none.as_ref(), Reduction::Mean)?;
    Ok(cross.f_sub(&own)?)
}

/// Share of places where two tensors of whole numbers are equal.
pub fn share_of_equal(classes: &Tensor, others: &Tensor) -> Result<f64, Error> {
    let equal = classes.f_eq_tensor(others)?.f_sum(Kind::Int64)?.f_int64_value(&[])?;
    Ok(equal as f64 / classes.numel().max(1) as f64)
}

#[cfg(test)]
mod tests;

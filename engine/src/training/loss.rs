//! The training loss: (1 − d) · cross-entropy + d · T² · KL(original ‖ cut), with temperature T = 4 (Hinton et al., 2015).

use secateur_core::spec::{FineTune, Objective};
use tch::{Kind, Reduction, Tensor};

use crate::data::Split;
use crate::error::Error;
use crate::measure::evaluate;
use crate::network::Network;

const TEMPERATURE: f64 = 4.0;

/// The original's outputs on training samples are kept when they are not larger: 1 GiB of float32.
pub(super) const CACHED_ELEMENTS: i64 = 1 << 28;

pub(super) struct Loss {
    distill: f64,
}

impl Loss {
    pub(super) fn new(settings: &FineTune) -> Self {
        let distill = match settings.objective {
            Objective::CrossEntropy => settings.distill.get(),
            Objective::Distill => 1.0,
        };
        Self { distill }
    }

    fn needs_teacher(&self) -> bool {
        self.distill > 0.0
    }

    /// `labels` are there unless all is distillation, `target` is unless none is.
    pub(super) fn of(
        &self,
        logits: &Tensor,
        labels: Option<&Tensor>,
        target: Option<&Tensor>,
    ) -> Result<Tensor, Error> {
        let cross_entropy = match labels {
            Some(labels) if self.distill < 1.0 => {
                Some(cross_entropy(logits, labels)?.f_mul_scalar(1.0 - self.distill)?)
            }
            _ => None,
        };
        let distilled = match target {
            Some(target) => Some(distillation(logits, target)?.f_mul_scalar(self.distill)?),
            None => None,
        };
        match (cross_entropy, distilled) {
            (Some(cross_entropy), Some(distilled)) => Ok(cross_entropy.f_add(&distilled)?),
            (Some(only), None) | (None, Some(only)) => Ok(only),
            (None, None) => Err(Error::internal("fine-tuning without labels and without the original's outputs")),
        }
    }
}

/// Mean over the samples, nats.
pub(super) fn cross_entropy(logits: &Tensor, labels: &Tensor) -> Result<Tensor, Error> {
    Ok(logits.f_cross_entropy_loss(labels, None::<Tensor>, Reduction::Mean, -100, 0.0)?)
}

/// T² · KL divergence of the distributions over dim 1, softened by T, averaged over everything else.
pub(super) fn distillation(logits: &Tensor, target: &Tensor) -> Result<Tensor, Error> {
    let soft = logits.f_div_scalar(TEMPERATURE)?.f_log_softmax(1, Kind::Float)?;
    let soft_target = target.f_div_scalar(TEMPERATURE)?.f_log_softmax(1, Kind::Float)?;
    let classes = logits.size().get(1).copied().unwrap_or(1).max(1);
    let distributions = (logits.numel() as i64 / classes).max(1);
    let sum = soft.f_kl_div(&soft_target, Reduction::Sum, true)?;
    Ok(sum.f_mul_scalar(TEMPERATURE * TEMPERATURE / distributions as f64)?)
}

/// The original network's outputs on training batches.
pub(super) enum Teacher<'a> {
    NotNeeded,
    /// On every sample, computed once: half the cost of an epoch, possible only when samples are not augmented.
    Cached(Tensor),
    Live(&'a Network),
}

impl<'a> Teacher<'a> {
    pub(super) fn new(
        network: &'a Network,
        train: &Split,
        loss: &Loss,
        samples_are_fixed: bool,
    ) -> Result<Self, Error> {
        if !loss.needs_teacher() {
            return Ok(Self::NotNeeded);
        }
        let width: i64 = network.logits(train.range(0..1)?)?.numel() as i64;
        if samples_are_fixed && width * train.count() <= CACHED_ELEMENTS {
            return Ok(Self::Cached(evaluate::logits(network, train)?));
        }
        Ok(Self::Live(network))
    }

    pub(super) fn answer(&self, batch: &Tensor, input: &Tensor) -> Result<Option<Tensor>, Error> {
        Ok(match self {
            Self::NotNeeded => None,
            Self::Cached(logits) => Some(logits.f_index_select(0, batch)?),
            Self::Live(network) => Some(network.logits(input.shallow_clone())?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(json: &str) -> FineTune {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn agreement_with_the_original_costs_nothing_and_disagreement_does() {
        let target = Tensor::from_slice(&[4.0_f32, 0.0, -4.0, 1.0, 2.0, 3.0]).view([2, 3]);
        assert!(distillation(&target, &target).unwrap().double_value(&[]).abs() < 1e-6);
        assert!(distillation(&target.flip([1]), &target).unwrap().double_value(&[]) > 0.1);
    }

    #[test]
    fn without_distillation_the_loss_is_the_cross_entropy() {
        let loss = Loss::new(&settings(r#"{"distill": 0}"#));
        let logits = Tensor::from_slice(&[0.0_f32, 0.0]).view([1, 2]);
        let value = loss.of(&logits, Some(&Tensor::from_slice(&[1_i64])), None).unwrap();
        assert!((value.double_value(&[]) - std::f64::consts::LN_2).abs() < 1e-6);
    }

    #[test]
    fn the_distill_objective_ignores_labels() {
        let loss = Loss::new(&settings(r#"{"objective": "distill", "distill": 0.2}"#));
        let logits = Tensor::from_slice(&[3.0_f32, 0.0]).view([1, 2]);
        let value = loss.of(&logits, Some(&Tensor::from_slice(&[1_i64])), Some(&logits)).unwrap();
        assert!(value.double_value(&[]).abs() < 1e-6);
    }
}

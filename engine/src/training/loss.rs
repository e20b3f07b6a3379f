//! The training loss: (1 − d) · the loss with the labels + d · distillation from the original.

use secateur_core::spec::FineTune;
use tch::Tensor;

use super::labels_learnt_from;
use crate::data::{Labels, Split};
use crate::error::Error;
use crate::output::Outputs;
use crate::supervision::{Smoothing, supervised_loss};

pub(super) struct Loss<'a> {
    outputs: &'a Outputs,
    labels: Option<&'a Labels>,
    distill: f64,
}

impl<'a> Loss<'a> {
    /// For samples of a split.
    pub(super) fn new(outputs: &'a Outputs, split: &'a Split, settings: &FineTune) -> Self {
        let labels = labels_learnt_from(settings, split);
        let distill = if labels.is_some() { settings.distill.get() } else { 1.0 };
        Self { outputs, labels, distill }
    }

    /// The weight of what is learnt from the original.
    pub(super) fn distill(&self) -> f64 {
        self.distill
    }

    pub(super) fn needs_original(&self) -> bool {
        self.distill > 0.0
    }

    /// Of the answers to a batch with these labels; the original's `targets` are there unless nothing is distilled.
    pub(super) fn of(
        &self,
        answers: &[Tensor],
        labels: Option<&Tensor>,
        targets: Option<&[Tensor]>,
    ) -> Result<Tensor, Error> {
        let supervised = match self.labels.zip(labels) {
            Some((meaning, labels)) => {
                let loss = supervised_loss(meaning, answers, labels, Smoothing::AsAsked)?;
                Some(loss.f_mul_scalar(1.0 - self.distill)?)
            }
            None => None,
        };
        let distilled = match targets {
            Some(targets) => Some(self.outputs.distillation(answers, targets)?.f_mul_scalar(self.distill)?),
            None => None,
        };
        match (supervised, distilled) {
            (Some(supervised), Some(distilled)) => Ok(supervised.f_add(&distilled)?),
            (Some(only), None) | (None, Some(only)) => Ok(only),
            (None, None) => Err(Error::internal("fine-tuning without labels and without the original's outputs")),
        }
    }
}

#[cfg(test)]
mod tests {
    use secateur_core::testing::Net;
    use tch::{Device, Kind};

    use super::*;
    use crate::network::Network;

    fn settings(json: &str) -> FineTune {
        serde_json::from_str(json).unwrap()
    }

    fn two_classes() -> Outputs {
        let mut net = Net::new(&[2]);
        net.linear("fc", 2);
        let random = |shape: &[i64]| Tensor::randn(shape, (Kind::Float, Device::Cpu));
        let network = Network::new(net.graph(), vec![random(&[2, 2]), random(&[2])]).unwrap();
        Outputs::of(&network, &Split::of_tensors(random(&[8, 2]), None), &[]).unwrap()
    }

    /// One sample, whose class is 1.
    fn sample() -> Split {
        Split::of_tensors(Tensor::zeros([1, 2], (Kind::Float, Device::Cpu)), Some(Tensor::from_slice(&[1_i64])))
    }

    #[test]
    fn without_distillation_the_loss_is_the_cross_entropy() {
        let outputs = two_classes();
        let sample = sample();
        let loss = Loss::new(&outputs, &sample, &settings(r#"{"distill": 0}"#));
        let answers = [Tensor::from_slice(&[0.0_f32, 0.0]).view([1, 2])];
        let value = loss.of(&answers, Some(&Tensor::from_slice(&[1_i64])), None).unwrap();
        assert!((value.double_value(&[]) - std::f64::consts::LN_2).abs() < 1e-6);
    }

    #[test]
    fn the_distill_objective_ignores_labels() {
        let outputs = two_classes();
        let sample = sample();
        let loss = Loss::new(&outputs, &sample, &settings(r#"{"objective": "distill", "distill": 0.2}"#));
        let answers = [Tensor::from_slice(&[3.0_f32, 0.0]).view([1, 2])];
        let value = loss.of(&answers, Some(&Tensor::from_slice(&[1_i64])), Some(&answers)).unwrap();
        assert!(value.double_value(&[]).abs() < 1e-6);
    }
}

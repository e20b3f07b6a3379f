//! The training loss: (1 − d) · cross-entropy with the labels + d · distillation from the original.

use secateur_core::spec::{FineTune, Objective};
use tch::Tensor;

use crate::error::Error;
use crate::measure::evaluate::scores;
use crate::output::{Outputs, cross_entropy};

pub(super) struct Loss<'a> {
    outputs: &'a Outputs,
    distill: f64,
}

impl<'a> Loss<'a> {
    pub(super) fn new(outputs: &'a Outputs, settings: &FineTune) -> Self {
        let distill = match settings.objective {
            Objective::CrossEntropy => settings.distill.get(),
            Objective::Distill => 1.0,
        };
        Self { outputs, distill }
    }

    pub(super) fn needs_original(&self) -> bool {
        self.distill > 0.0
    }

    /// `labels` are there unless all is distillation, `targets` are unless none is.
    pub(super) fn of(
        &self,
        answers: &[Tensor],
        labels: Option<&Tensor>,
        targets: Option<&[Tensor]>,
    ) -> Result<Tensor, Error> {
        let cross_entropy = match labels {
            Some(labels) if self.distill < 1.0 => {
                Some(cross_entropy(scores(answers)?, labels)?.f_mul_scalar(1.0 - self.distill)?)
            }
            _ => None,
        };
        let distilled = match targets {
            Some(targets) => Some(self.outputs.distillation(answers, targets)?.f_mul_scalar(self.distill)?),
            None => None,
        };
        match (cross_entropy, distilled) {
            (Some(cross_entropy), Some(distilled)) => Ok(cross_entropy.f_add(&distilled)?),
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
    use crate::data::Split;
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

    #[test]
    fn without_distillation_the_loss_is_the_cross_entropy() {
        let outputs = two_classes();
        let loss = Loss::new(&outputs, &settings(r#"{"distill": 0}"#));
        let answers = [Tensor::from_slice(&[0.0_f32, 0.0]).view([1, 2])];
        let value = loss.of(&answers, Some(&Tensor::from_slice(&[1_i64])), None).unwrap();
        assert!((value.double_value(&[]) - std::f64::consts::LN_2).abs() < 1e-6);
    }

    #[test]
    fn the_distill_objective_ignores_labels() {
        let outputs = two_classes();
        let loss = Loss::new(&outputs, &settings(r#"{"objective": "distill", "distill": 0.2}"#));
        let answers = [Tensor::from_slice(&[3.0_f32, 0.0]).view([1, 2])];
        let value = loss.of(&answers, Some(&Tensor::from_slice(&[1_i64])), Some(&answers)).unwrap();
        assert!(value.double_value(&[]).abs() < 1e-6);
    }
}

//! Stochastic gradient descent with Nesterov momentum; weight decay on weights only, not on biases and norms.

use tch::Tensor;

use crate::error::Error;

const MOMENTUM: f64 = 0.9;

pub(super) struct Sgd {
    parameters: Vec<Trained>,
    weight_decay: f64,
}

struct Trained {
    tensor: Tensor,
    velocity: Tensor,
    decays: bool,
}

impl Sgd {
    /// `parameters` are leaves that record gradients; they are updated in place.
    pub(super) fn new(parameters: Vec<Tensor>, weight_decay: f64) -> Result<Self, Error> {
        let _no_grad = tch::no_grad_guard();
        let parameters = parameters
            .into_iter()
            .map(|tensor| {
                let velocity = tensor.f_zeros_like()?;
                let decays = weight_decay > 0.0 && tensor.dim() >= 2;
                Ok(Trained { tensor, velocity, decays })
            })
            .collect::<Result<_, Error>>()?;
        Ok(Self { parameters, weight_decay })
    }

    /// The momentum of every parameter, in their order.
    pub(super) fn velocities(&self) -> Vec<&Tensor> {
        self.parameters.iter().map(|trained| &trained.velocity).collect()
    }

    /// Takes up the momentum of an earlier attempt.
    pub(super) fn set_velocities(&mut self, velocities: &[Tensor]) -> Result<(), Error> {
        let _no_grad = tch::no_grad_guard();
        for (trained, velocity) in self.parameters.iter_mut().zip(velocities) {
            trained.velocity.f_copy_(velocity)?;
        }
        Ok(())
    }

    /// One step down the gradient of `loss`: v ← 0.9 v + g, w ← w − rate (g + 0.9 v).
    pub(super) fn step(&mut self, loss: &Tensor, rate: f64) -> Result<(), Error> {
        let tensors: Vec<&Tensor> = self.parameters.iter().map(|trained| &trained.tensor).collect();
        let gradients = Tensor::f_run_backward(&[loss], &tensors, false, false)?;
        let _no_grad = tch::no_grad_guard();
        for (Trained { tensor, velocity, decays }, mut gradient) in self.parameters.iter_mut().zip(gradients) {
            // A parameter that the outputs do not depend on has none.
            if !gradient.defined() {
                continue;
            }
            if *decays {
                gradient = gradient.f_add(&tensor.f_mul_scalar(self.weight_decay)?)?;
            }
            let _ = velocity.f_mul_scalar_(MOMENTUM)?.f_add_(&gradient)?;
            let direction = velocity.f_mul_scalar(MOMENTUM)?.f_add_(&gradient)?.f_mul_scalar_(rate)?;
            let _ = tensor.f_sub_(&direction)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against the update of `torch.optim.SGD(lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01)`, written out.
    #[test]
    fn steps_follow_nesterov_momentum_with_decay_of_weights_only() {
        let weight = Tensor::from_slice(&[1.0_f64, -2.0]).view([1, 2]).set_requires_grad(true);
        let bias = Tensor::from_slice(&[0.5_f64]).set_requires_grad(true);
        let mut sgd = Sgd::new(vec![weight.shallow_clone(), bias.shallow_clone()], 0.01).unwrap();
        let (mut w, mut b, mut vw, mut vb) = ([1.0, -2.0], 0.5, [0.0, 0.0], 0.0);
        for _ in 0..3 {
            let loss = (&weight * &weight).sum(tch::Kind::Double) + (&bias * &bias).sum(tch::Kind::Double);
            sgd.step(&loss, 0.1).unwrap();
            for (w, v) in w.iter_mut().zip(&mut vw) {
                let g = 2.0 * *w + 0.01 * *w;
                *v = 0.9 * *v + g;
                *w -= 0.1 * (g + 0.9 * *v);
            }
            let g = 2.0 * b;
            vb = 0.9 * vb + g;
            b -= 0.1 * (g + 0.9 * vb);
        }
        for (index, expected) in w.iter().enumerate() {
            assert!((weight.double_value(&[0, index as i64]) - expected).abs() < 1e-12);
        }
        assert!((bias.double_value(&[0]) - b).abs() < 1e-12);
    }

    #[test]
    fn a_parameter_that_the_loss_does_not_reach_stays() {
        let used = Tensor::from_slice(&[1.0_f32]).set_requires_grad(true);
        let unused = Tensor::from_slice(&[1.0_f32]).set_requires_grad(true);
        let mut sgd = Sgd::new(vec![used.shallow_clone(), unused.shallow_clone()], 0.0).unwrap();
        sgd.step(&(&used * 3.0).sum(tch::Kind::Float), 0.1).unwrap();
        assert!(used.double_value(&[0]) < 1.0);
        assert_eq!(unused.double_value(&[0]), 1.0);
    }
}

//! Optimisers: stochastic gradient descent with Nesterov momentum, and AdamW (Loshchilov and Hutter, "Decoupled Weight Decay
//! Regularization", ICLR 2019). Weight decay acts on weights only, not on biases and norms.

use secateur_core::graph::{Graph, Node};
use secateur_core::operator;
use secateur_core::spec::{self, FineTune};
use tch::Tensor;

use crate::error::Error;
use crate::output::Outputs;

const MOMENTUM: f64 = 0.9;

/// AdamW's averages, as in PyTorch.
const BETAS: (f64, f64) = (0.9, 0.999);
const EPSILON: f64 = 1e-8;

/// Peak learning rates where the spec names none.
const SGD_RATE: f64 = 0.05;
const ADAMW_RATE: f64 = 1e-3;

/// How parameters follow their gradients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    Sgd,
    AdamW,
}

impl Rule {
    /// What the spec asks for, or what fits the network: a classifier with batch norm bears the large steps of SGD and gets further with
    /// them, other networks diverge or hardly move.
    pub(super) fn of(settings: &FineTune, graph: &Graph, outputs: &Outputs) -> Self {
        match settings.optimizer {
            spec::Optimizer::Sgd => Self::Sgd,
            spec::Optimizer::Adamw => Self::AdamW,
            spec::Optimizer::Auto => {
                let has = |is: fn(&Node) -> bool| graph.nodes().iter().any(is);
                let has_batch_norm = has(|node| !operator::running_statistics(node).is_empty());
                let suits_sgd = has_batch_norm && !has(operator::is_recurrent) && outputs.are_classes_of_samples();
                if suits_sgd { Self::Sgd } else { Self::AdamW }
            }
        }
    }

    /// The peak learning rate.
    pub(super) fn rate(self, settings: &FineTune) -> f64 {
        settings.lr.unwrap_or(match self {
            Self::Sgd => SGD_RATE,
            Self::AdamW => ADAMW_RATE,
        })
    }

    /// The name in logs.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Sgd => "SGD",
            Self::AdamW => "AdamW",
        }
    }

    /// Tensors that are kept for each parameter.
    pub(super) fn moments(self) -> usize {
        match self {
            Self::Sgd => 1,
            Self::AdamW => 2,
        }
    }
}

pub(super) struct Optimizer {
    rule: Rule,
    parameters: Vec<Trained>,
    weight_decay: f64,
    /// Steps so far.
    steps: u64,
}

struct Trained {
    tensor: Tensor,
    /// Of SGD the velocity; of AdamW the averages of the gradient and of its square.
    moments: Vec<Tensor>,
    decays: bool,
}

impl Optimizer {
    /// `parameters` are leaves that record gradients; they are updated in place.
    pub(super) fn new(rule: Rule, parameters: Vec<Tensor>, weight_decay: f64) -> Result<Self, Error> {
        let _no_grad = tch::no_grad_guard();
        let parameters = parameters
            .into_iter()
            .map(|tensor| {
                let moments = (0..rule.moments()).map(|_| tensor.f_zeros_like()).collect::<Result<_, _>>()?;
                let decays = weight_decay > 0.0 && tensor.dim() >= 2;
                Ok(Trained { tensor, moments, decays })
            })
            .collect::<Result<_, Error>>()?;
        Ok(Self { rule, parameters, weight_decay, steps: 0 })
    }

    /// The moments of every parameter, in their order.
    pub(super) fn moments(&self) -> Vec<&[Tensor]> {
        self.parameters.iter().map(|trained| trained.moments.as_slice()).collect()
    }

    /// Takes up the moments of an earlier attempt, which made so many steps.
    pub(super) fn set_moments(&mut self, moments: &[Vec<Tensor>], steps: u64) -> Result<(), Error> {
        let _no_grad = tch::no_grad_guard();
        self.steps = steps;
        for (trained, moments) in self.parameters.iter_mut().zip(moments) {
            for (own, moment) in trained.moments.iter_mut().zip(moments) {
                own.f_copy_(moment)?;
            }
        }
        Ok(())
    }

    /// One step down the gradient of `loss`.
    pub(super) fn step(&mut self, loss: &Tensor, rate: f64) -> Result<(), Error> {
        let gradients = self.gradients(loss)?;
        self.follow(gradients, rate)
    }

    /// The gradient of `loss` with respect to every parameter; undefined where the loss does not depend on one.
    pub(super) fn gradients(&self, loss: &Tensor) -> Result<Vec<Tensor>, Error> {
        let tensors: Vec<&Tensor> = self.parameters.iter().map(|trained| &trained.tensor).collect();
        Ok(Tensor::f_run_backward(&[loss], &tensors, false, false)?)
    }

    /// One step down these gradients.
    pub(super) fn follow(&mut self, gradients: Vec<Tensor>, rate: f64) -> Result<(), Error> {
        let _no_grad = tch::no_grad_guard();
        self.steps += 1;
        for (trained, gradient) in self.parameters.iter_mut().zip(gradients) {
            // A parameter that the outputs do not depend on has none.
            if !gradient.defined() {
                continue;
            }
            let decay = if trained.decays { self.weight_decay } else { 0.0 };
            match self.rule {
                Rule::Sgd => trained.descend(gradient, rate, decay)?,
                Rule::AdamW => trained.adapt(&gradient, rate, decay, self.steps)?,
            }
        }
        Ok(())
    }
}

impl Trained {
    /// v ← 0.9 v + g, w ← w − rate (g + 0.9 v), where g holds the decay.
    fn descend(&mut self, mut gradient: Tensor, rate: f64, decay: f64) -> Result<(), Error> {
        if decay > 0.0 {
            gradient = gradient.f_add(&self.tensor.f_mul_scalar(decay)?)?;
        }
        let velocity = &mut self.moments[0];
        let _ = velocity.f_mul_scalar_(MOMENTUM)?.f_add_(&gradient)?;
        let direction = velocity.f_mul_scalar(MOMENTUM)?.f_add_(&gradient)?.f_mul_scalar_(rate)?;
        let _ = self.tensor.f_sub_(&direction)?;
        Ok(())
    }

    /// w ← (1 − rate · decay) w − rate · m̂ / (√v̂ + ε), with the averages m̂ and v̂ freed of their start at zero.
    fn adapt(&mut self, gradient: &Tensor, rate: f64, decay: f64, steps: u64) -> Result<(), Error> {
        let [mean, square] = &mut self.moments[..] else { return Err(Error::internal("AdamW without its averages")) };
        let (first, second) = BETAS;
        let _ = mean.f_lerp_(gradient, 1.0 - first)?;
        let _ = square.f_mul_scalar_(second)?.f_add_(&gradient.f_square()?.f_mul_scalar_(1.0 - second)?)?;
        let count = i32::try_from(steps).unwrap_or(i32::MAX);
        let root = square.f_div_scalar(1.0 - second.powi(count))?.f_sqrt_()?.f_add_scalar_(EPSILON)?;
        let step = mean.f_div(&root)?.f_mul_scalar_(rate / (1.0 - first.powi(count)))?;
        if decay > 0.0 {
            let _ = self.tensor.f_mul_scalar_(1.0 - rate * decay)?;
        }
        let _ = self.tensor.f_sub_(&step)?;
        Ok(())
    }
}

/// Adds gradients up, each of which may be undefined.
pub(super) fn added(sums: Vec<Tensor>, more: Vec<Tensor>) -> Result<Vec<Tensor>, Error> {
    let _no_grad = tch::no_grad_guard();
    let pairs = sums.into_iter().zip(more).map(|(sum, more)| match (sum.defined(), more.defined()) {
        (true, true) => Ok(sum.f_add(&more)?),
        (true, false) => Ok(sum),
        (false, _) => Ok(more),
    });
    pairs.collect()
}

/// Gradients whose norm, all together, is `norm` at the most, as `torch.nn.utils.clip_grad_norm_` makes them.
pub(super) fn clipped(gradients: Vec<Tensor>, norm: f64) -> Result<Vec<Tensor>, Error> {
    let _no_grad = tch::no_grad_guard();
    let mut squares = 0.0;
    for gradient in gradients.iter().filter(|gradient| gradient.defined()) {
        squares += gradient.f_norm()?.f_double_value(&[])?.powi(2);
    }
    let scale = norm / (squares.sqrt() + 1e-6);
    // A norm that is not finite ends the attempt by its loss.
    if scale >= 1.0 || !scale.is_finite() {
        return Ok(gradients);
    }
    let scaled = |gradient: Tensor| if gradient.defined() { Ok(gradient.f_mul_scalar(scale)?) } else { Ok(gradient) };
    gradients.into_iter().map(scaled).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against the update of `torch.optim.SGD(lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01)`, written out.
    #[test]
    fn steps_follow_nesterov_momentum_with_decay_of_weights_only() {
        let weight = Tensor::from_slice(&[1.0_f64, -2.0]).view([1, 2]).set_requires_grad(true);
        let bias = Tensor::from_slice(&[0.5_f64]).set_requires_grad(true);
        let mut sgd = Optimizer::new(Rule::Sgd, vec![weight.shallow_clone(), bias.shallow_clone()], 0.01).unwrap();
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

    /// Against `torch.optim.AdamW(lr=0.1, weight_decay=0.01)` of PyTorch 2.11 on the same loss, w² + 3w + b⁴, after three steps.
    #[test]
    fn steps_are_those_of_pytorchs_adamw() {
        let weight = Tensor::from_slice(&[1.0_f64, -2.0]).view([1, 2]).set_requires_grad(true);
        let bias = Tensor::from_slice(&[0.5_f64]).set_requires_grad(true);
        let mut adamw = Optimizer::new(Rule::AdamW, vec![weight.shallow_clone(), bias.shallow_clone()], 0.01).unwrap();
        for _ in 0..3 {
            let loss = (&weight * &weight + &weight * 3.0).sum(tch::Kind::Double)
                + bias.pow_tensor_scalar(4).sum(tch::Kind::Double);
            adamw.step(&loss, 0.1).unwrap();
        }
        for (value, expected) in [
            (weight.double_value(&[0, 0]), 0.697_782_219_572),
            (weight.double_value(&[0, 1]), -1.699_350_865_170),
            (bias.double_value(&[0]), 0.222_752_484_463),
        ] {
            assert!((value - expected).abs() < 1e-9, "{value}, PyTorch has {expected}");
        }
    }

    /// `torch.nn.utils.clip_grad_norm_` of [3] and [4]: the norm is 5.
    #[test]
    fn gradients_are_shortened_together() {
        let gradients = || vec![Tensor::from_slice(&[3.0_f64]), Tensor::new(), Tensor::from_slice(&[4.0_f64])];
        let short = clipped(gradients(), 1.0).unwrap();
        assert!((short[0].double_value(&[0]) - 0.6).abs() < 1e-6 && (short[2].double_value(&[0]) - 0.8).abs() < 1e-6);
        assert!(!short[1].defined());
        assert_eq!(clipped(gradients(), 10.0).unwrap()[2].double_value(&[0]), 4.0);
        let sums = added(gradients(), gradients()).unwrap();
        assert!(sums[0].double_value(&[0]) == 6.0 && !sums[1].defined());
    }

    #[test]
    fn a_parameter_that_the_loss_does_not_reach_stays() {
        let used = Tensor::from_slice(&[1.0_f32]).set_requires_grad(true);
        let unused = Tensor::from_slice(&[1.0_f32]).set_requires_grad(true);
        let mut sgd = Optimizer::new(Rule::Sgd, vec![used.shallow_clone(), unused.shallow_clone()], 0.0).unwrap();
        sgd.step(&(&used * 3.0).sum(tch::Kind::Float), 0.1).unwrap();
        assert!(used.double_value(&[0]) < 1.0);
        assert_eq!(unused.double_value(&[0]), 1.0);
    }
}

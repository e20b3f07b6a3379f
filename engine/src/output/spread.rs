//! How much the original's own answers vary over samples.

use secateur_core::output::{ModelOutput, OutputKind};
use tch::{Kind, Tensor};

use crate::data::Split;
use crate::error::Error;
use crate::network::Network;

/// Samples that the spread is measured on, unless so many answers are larger than [`ELEMENTS`].
const SAMPLES: i64 = 512;

/// Elements of an answer that are looked at: 64 MiB of float32.
const ELEMENTS: i64 = 1 << 24;

/// Samples of one forward pass.
const BATCH: i64 = 64;

/// What a network that always gives the original's mean answer would lose.
pub(super) struct Spread {
    /// Scores of classes, with the class axis last: `[places, classes]`.
    classes: Option<Tensor>,
    /// KL divergence of each element's mean probability, nats, mean over the elements.
    pub deviance: f64,
    /// One minus the cosine of the mean direction.
    pub angle: f64,
    /// Standard deviation of each channel, in a shape that the answers are divided by.
    pub deviation: Tensor,
}

/// What the original answers on the first samples of a split.
pub(super) fn sample_answers(original: &Network, samples: &Split) -> Result<Vec<Tensor>, Error> {
    let mut parts: Vec<Vec<Tensor>> = Vec::new();
    let (mut seen, mut elements) = (0, 0);
    while seen < samples.count().min(SAMPLES) && elements < ELEMENTS {
        let end = (seen + samples.affordable(BATCH)).min(samples.count());
        let answers = original.answers(&samples.range(seen..end)?)?;
        parts.resize_with(answers.len(), Vec::new);
        for (part, answer) in parts.iter_mut().zip(answers) {
            elements += answer.numel() as i64;
            part.push(answer.f_to_kind(Kind::Float)?);
        }
        seen = end;
    }
    let axes = original.batch_axes();
    let joined = parts.iter().zip(axes).map(|(part, axis)| match axis {
        Some(axis) => Ok(Tensor::f_cat(part, axis)?),
        // Samples do not stand apart: one batch is as good as all.
        None => Ok(part.first().ok_or_else(|| Error::internal("a split without samples"))?.shallow_clone()),
    });
    joined.collect()
}

impl Spread {
    pub(super) fn of(answers: &Tensor, output: &ModelOutput) -> Result<Self, Error> {
        let _no_grad = tch::no_grad_guard();
        let axis = output.axis.map(|axis| axis as i64);
        Ok(Self {
            classes: match (output.kind, axis) {
                (OutputKind::Categorical, Some(axis)) => Some(places(answers, axis)?),
                _ => None,
            },
            deviance: if output.kind == OutputKind::Bernoulli { deviance(answers)? } else { 1.0 },
            angle: match (output.kind, axis) {
                (OutputKind::Unit, Some(axis)) => angle(&places(answers, axis)?)?,
                _ => 1.0,
            },
            deviation: deviation(answers, axis)?,
        })
    }

    /// T² · KL divergence of the mean distribution, softened by T.
    pub(super) fn of_classes(&self, temperature: f64) -> f64 {
        let divergence = || -> Result<f64, Error> {
            let Some(scores) = &self.classes else { return Ok(1.0) };
            let logarithms = scores.f_div_scalar(temperature)?.f_log_softmax(1, Kind::Float)?;
            let probabilities = logarithms.f_exp()?;
            let mean = probabilities.f_mean_dim([0_i64].as_slice(), false, Kind::Float)?;
            let own = probabilities.f_mul(&logarithms)?.f_sum_dim_intlist([1_i64].as_slice(), false, Kind::Float)?;
            let own = own.f_mean(Kind::Double)?.f_double_value(&[])?;
            let of_mean = mean.f_mul(&mean.f_clamp_min(1e-30)?.f_log()?)?.f_sum(Kind::Double)?.f_double_value(&[])?;
            Ok(temperature * temperature * (own - of_mean))
        };
        at_least(divergence().unwrap_or(1.0))
    }
}

/// A spread that can be divided by.
fn at_least(spread: f64) -> f64 {
    if spread.is_finite() { spread.max(1e-6) } else { 1.0 }
}

/// `[places, size of the axis]`.
fn places(answers: &Tensor, axis: i64) -> Result<Tensor, Error> {
    let size = answers.size()[axis as usize];
    Ok(answers.f_movedim_int(axis, -1)?.f_reshape([-1, size])?)
}

fn deviance(answers: &Tensor) -> Result<f64, Error> {
    let probabilities = answers.f_sigmoid()?;
    let mean = probabilities.f_mean_dim([0_i64].as_slice(), true, Kind::Float)?;
    let entropy = |p: &Tensor| -> Result<f64, Error> {
        let p = p.f_clamp(1e-7, 1.0 - 1e-7)?;
        let q = p.f_neg()?.f_add_scalar(1.0)?;
        let sum = p.f_mul(&p.f_log()?)?.f_add(&q.f_mul(&q.f_log()?)?)?;
        Ok(-sum.f_mean(Kind::Double)?.f_double_value(&[])?)
    };
    Ok(at_least(entropy(&mean)? - entropy(&probabilities)?))
}

fn angle(vectors: &Tensor) -> Result<f64, Error> {
    let directions =
        vectors.f_div(&vectors.f_norm_scalaropt_dim(2.0, [1_i64].as_slice(), true)?.f_clamp_min(1e-12)?)?;
    let mean = directions.f_mean_dim([0_i64].as_slice(), false, Kind::Float)?;
    Ok(at_least(1.0 - mean.f_norm()?.f_double_value(&[])?))
}

/// Channels that never vary are measured by a thousandth of the mean deviation.
fn deviation(answers: &Tensor, axis: Option<i64>) -> Result<Tensor, Error> {
    let others: Vec<i64> = (0..answers.dim() as i64).filter(|&dim| Some(dim) != axis).collect();
    let variance = answers.f_var_dim(others.as_slice(), false, true)?;
    let deviation = variance.f_sqrt()?.f_nan_to_num(Some(0.0), Some(0.0), Some(0.0))?;
    let mean = deviation.f_mean(Kind::Double)?.f_double_value(&[])?;
    let least = if mean > 0.0 { 1e-3 * mean } else { 1.0 };
    Ok(deviation.f_clamp_min(least)?)
}

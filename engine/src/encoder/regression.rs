//! Supervised training of the graph encoder, SACP's ablation SACP-1: a linear head on the embedding fits measured accuracies.
//!
//! A few hundred measured configurations, targets standardised, mean squared error. Every fifth configuration is held out, and
//! the rank correlation on those says what the fit is worth. The embedding is not normalised here: a score is
//! `z·w + b`, which the fast search computes exactly as it does the cosine.

use std::time::Instant;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use secateur_core::search::encoder::{Encoder, Head};
use secateur_core::search::layer::LayerGraph;
use secateur_core::search::space::Space;
use secateur_core::statistics::{RankCorrelation, spearman};
use tch::{Device, Kind, Tensor};

use super::{Adam, BATCH, Draws, Folded, Settings, host, initial};
use crate::error::Error;

/// Times that every measured configuration is seen.
pub const PASSES: u32 = 200;

/// One configuration in this many is held out.
const HELD_OUT: usize = 5;

/// A configuration's widths, one per group, and what was measured of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    pub widths: Vec<usize>,
    pub value: f64,
}

/// A fitted encoder and the way there.
#[derive(Debug)]
pub struct Fitted {
    pub encoder: Encoder,
    /// Mean squared error of each pass, in standard deviations of the values.
    pub losses: Vec<f64>,
    /// Between prediction and value of the held-out configurations; `None` when there are fewer than three or they are all equal.
    pub held_out: Option<RankCorrelation>,
    pub seconds: f64,
}

/// Fits the examples; `pass_done` hears the pass and its mean loss.
///
/// # Errors
/// libtorch's; an internal error without examples.
pub fn fit(
    layers: &LayerGraph,
    space: &Space<'_>,
    examples: &[Example],
    settings: &Settings,
    device: Device,
    mut pass_done: impl FnMut(u32, f64),
) -> Result<Fitted, Error> {
    let started = Instant::now();
    let network = Folded::new(layers, device)?;
    let draws = Draws::new(space, &network);
    let is_held_out = |index: usize| index % HELD_OUT == HELD_OUT - 1;
    let (held_out, fitted): (Vec<_>, Vec<_>) = examples.iter().enumerate().partition(|(index, _)| is_held_out(*index));
    let held_out: Vec<&Example> = held_out.into_iter().map(|(_, example)| example).collect();
    let fitted: Vec<&Example> = fitted.into_iter().map(|(_, example)| example).collect();
    if fitted.is_empty() {
        return Err(Error::internal("a regression without measured configurations"));
    }
    let (mean, deviation) = moments(&fitted);

    let mut random = ChaCha8Rng::seed_from_u64(settings.seed);
    tch::manual_seed(settings.seed as i64);
    let hidden = settings.hidden as i64;
    let w1 = initial(layers.max_channels() as i64, hidden, device)?;
    let w2 = initial(hidden, hidden, device)?;
    let head = initial(hidden, 1, device)?;
    let bias = Tensor::f_zeros([1], (Kind::Float, device))?.f_set_requires_grad(true)?;
    let parameters = [&w1, &w2, &head, &bias];
    let mut adam = Adam::new(parameters.map(Tensor::shallow_clone).into())?;
    let predict = |batch: &[&Example]| -> Result<Tensor, Error> {
        let mut rows = Vec::new();
        for example in batch {
            draws.positive(&example.widths, &mut rows);
        }
        Ok(network.embeddings(&rows, &w1, &w2)?.f_matmul(&head)?.f_squeeze_dim(1)?.f_add(&bias)?)
    };

    let mut order = fitted;
    let mut losses = Vec::with_capacity(PASSES as usize);
    for pass in 1..=PASSES {
        order.shuffle(&mut random);
        let mut sum = 0.0;
        for batch in order.chunks(BATCH) {
            let values: Vec<f32> = batch.iter().map(|example| ((example.value - mean) / deviation) as f32).collect();
            let values = Tensor::f_from_slice(&values)?.f_to(device)?;
            let loss = predict(batch)?.f_sub(&values)?.f_square()?.f_mean(Kind::Float)?;
            adam.step(&loss)?;
            sum += loss.f_double_value(&[])? * batch.len() as f64;
        }
        losses.push(sum / order.len() as f64);
        pass_done(pass, losses[losses.len() - 1]);
    }

    let _no_grad = tch::no_grad_guard();
    let held_out = if held_out.is_empty() {
        None
    } else {
        let predicted: Vec<f32> = Vec::try_from(&predict(&held_out)?.f_to(Device::Cpu)?)?;
        let predicted: Vec<f64> = predicted.into_iter().map(f64::from).collect();
        spearman(&predicted, &held_out.iter().map(|example| example.value).collect::<Vec<_>>())
    };
    // In the unit of the values, so that a score can be read.
    let head = Head {
        weights: host(&head.f_mul_scalar(deviation)?)?,
        bias: (bias.f_double_value(&[0])? * deviation + mean) as f32,
    };
    let encoder = Encoder { hidden: settings.hidden, w1: host(&w1)?, w2: host(&w2)?, head: Some(head) };
    Ok(Fitted { encoder, losses, held_out, seconds: started.elapsed().as_secs_f64() })
}

/// Mean and standard deviation of the values; a deviation of zero counts as one.
fn moments(examples: &[&Example]) -> (f64, f64) {
    let count = examples.len() as f64;
    let mean = examples.iter().map(|example| example.value).sum::<f64>() / count;
    let variance = examples.iter().map(|example| (example.value - mean).powi(2)).sum::<f64>() / count;
    (mean, if variance > 0.0 { variance.sqrt() } else { 1.0 })
}

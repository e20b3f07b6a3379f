//! First-order saliency of every weight: |weight · gradient of the loss| (Molchanov et al., "Importance Estimation for Neural
//! Network Pruning", CVPR 2019), averaged over batches of the training split.
//!
//! The loss is that with the labels. Without labels it is the loss against the network's own
//! decisions: distillation from the original is no choice here, since at the original itself its gradient is zero. The network
//! runs in evaluation mode, so nothing depends on what else is in a batch.

use tch::Tensor;

use crate::data::Split;
use crate::error::Error;
use crate::network::{Network, weights};
use crate::output::Outputs;
use crate::process::messages::Messages;
use crate::supervision::{Smoothing, supervised_loss};
use crate::torch::Mode;

const BATCHES: usize = 16;
const BATCH_SIZE: i64 = 128;

/// What the batches say.
pub struct Saliency {
    /// Of every parameter of the graph, with its shape; zero where the loss does not reach and for buffers.
    pub tensors: Vec<Tensor>,
    pub samples: u64,
    /// Mean over the samples.
    pub loss: f64,
}

/// Measures on up to 16 batches of 128 samples, drawn by seed.
///
/// # Errors
/// When a batch's loss or gradient cannot be computed.
pub fn saliency(
    network: &Network,
    outputs: &Outputs,
    split: &Split,
    seed: u64,
    messages: &Messages,
) -> Result<Saliency, Error> {
    let graph = network.graph();
    let learned = weights::learned(graph);
    let leaves = weights::for_each_owned(graph, |index, _| {
        let copy = weights::copy(&network.weights()[index])?;
        let is_trained = learned.contains(&index) && weights::is_float(copy.f_kind()?);
        Ok(copy.f_set_requires_grad(is_trained)?)
    })?;
    let mut sums = weights::for_each_owned(graph, |index, _| Ok(leaves[index].f_detach()?.f_zeros_like()?))?;
    // A tied tensor is one leaf.
    let owned: Vec<usize> = (0..leaves.len())
        .filter(|&index| graph.parameters()[index].tied_to.is_none() && leaves[index].requires_grad())
        .collect();
    let sources: Vec<&Tensor> = owned.iter().map(|&index| &leaves[index]).collect();

    let batches = split.shuffled(split.affordable(BATCH_SIZE), seed, 0)?;
    let batches = &batches[..batches.len().min(BATCHES)];
    let mut progress = messages.count(batches.len() as u64, "batches");
    let (mut samples, mut total) = (0, 0.0);
    for batch in batches {
        let answers = network.answers_with(&leaves, &split.select(batch)?, Mode::Evaluate)?;
        let loss = match split.labels() {
            Some(labels) => supervised_loss(labels, &answers, &labels.select(batch)?, Smoothing::None)?,
            None => outputs.against_own_decisions(&answers)?,
        };
        let gradients = Tensor::f_run_backward(&[&loss], &sources, false, false)?;
        let _no_grad = tch::no_grad_guard();
        for (&index, gradient) in owned.iter().zip(&gradients) {
            // A parameter that the outputs do not depend on has none.
            if gradient.defined() {
                let saliency = leaves[index].f_mul(gradient)?.f_abs()?.f_div_scalar(batches.len() as i64)?;
                let _ = sums[index].f_add_(&saliency)?;
            }
        }
        let count = batch.numel();
        total += loss.f_double_value(&[])? * count as f64;
        samples += count as u64;
        progress.advance();
    }
    Ok(Saliency { tensors: sums, samples, loss: total / samples.max(1) as f64 })
}

#[cfg(test)]
mod tests {
    use secateur_core::testing::Net;
    use tch::{Device, Kind};

    use super::*;

    /// A linear classifier, whose gradient is known: (softmax − one-hot) xᵀ.
    fn classifier() -> Network {
        let mut net = Net::new(&[2]);
        net.linear("fc", 2);
        let weight = Tensor::from_slice(&[1.0_f32, -2.0, 0.5, 1.0]).view([2, 2]);
        let bias = Tensor::from_slice(&[0.25_f32, 0.0]);
        Network::new(net.graph(), vec![weight, bias]).unwrap()
    }

    #[test]
    fn saliency_is_the_magnitude_of_weight_times_gradient() {
        let samples = Tensor::from_slice(&[1.0_f32, 2.0, -1.0, 0.5]).view([2, 2]);
        let split = Split::of_tensors(samples, Some(Tensor::from_slice(&[0_i64, 1])));
        let outputs = Outputs::of(&classifier(), &split, &[]).unwrap();
        let found = saliency(&classifier(), &outputs, &split, 0, &Messages::discard()).unwrap();

        let (weight, bias) = ([[1.0, -2.0], [0.5, 1.0]], [0.25, 0.0]);
        let mut gradient = [[0.0_f64; 2]; 2];
        let mut loss = 0.0;
        for (x, label) in [([1.0, 2.0], 0), ([-1.0, 0.5], 1)] {
            let logits: [f64; 2] = [0, 1].map(|row: usize| weight[row][0] * x[0] + weight[row][1] * x[1] + bias[row]);
            let sum = logits[0].exp() + logits[1].exp();
            loss += (sum.ln() - logits[label]) / 2.0;
            for row in 0..2 {
                let error = logits[row].exp() / sum - f64::from(u8::from(row == label));
                for column in 0..2 {
                    gradient[row][column] += error * x[column] / 2.0;
                }
            }
        }
        assert!((found.loss - loss).abs() < 1e-6);
        for row in 0..2 {
            for column in 0..2 {
                let expected = (weight[row][column] * gradient[row][column]).abs();
                let measured = found.tensors[0].double_value(&[row as i64, column as i64]);
                assert!((measured - expected).abs() < 1e-6, "{measured} for {expected}");
            }
        }
        assert_eq!(found.samples, 2);
    }

    #[test]
    fn without_labels_the_networks_own_classes_are_the_labels() {
        let samples = Tensor::randn([64, 2], (Kind::Float, Device::Cpu));
        let network = classifier();
        let classes = network.answers(&[samples.copy()]).unwrap()[0].argmax(1, false);
        let unlabelled = Split::of_tensors(samples.copy(), None);
        let labelled = Split::of_tensors(samples, Some(classes));
        let outputs = Outputs::of(&network, &unlabelled, &[]).unwrap();
        let of = |split: &Split| saliency(&network, &outputs, split, 0, &Messages::discard()).unwrap().tensors;
        let (own, given) = (of(&unlabelled), of(&labelled));
        assert!(own[0].equal(&given[0]) && own[0].abs().sum(Kind::Float).double_value(&[]) > 0.0);
    }
}

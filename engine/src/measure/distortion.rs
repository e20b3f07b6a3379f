//! Output distortion: how far a cut network's answers are from the original's, without labels.
//!
//! A configuration is cut physically, its batch norm statistics are estimated anew on a few batches, and the KL divergence of
//! its output distribution from the original's is averaged over a few hundred samples. Measured for one group at a time
//! at a few widths it is that group's sensitivity; sums of sensitivities rank configurations (`search::additive`, which
//! specs call `calibrated`). Measured for random configurations it is part of what the encoder can be fitted to
//! (`search::calibration`).

use secateur_core::configuration::Configuration;
use secateur_core::group::Grouping;
use secateur_core::importance::Importance;
use secateur_core::search::ranking::sensitivity::{Probe, Sensitivity};
use tch::{Kind, Reduction, Tensor};

use crate::data::Split;
use crate::error::Error;
use crate::measure::batch_norm;
use crate::network::{Network, cut};

/// Samples on which outputs are compared.
const SAMPLES: i64 = 512;

/// Batches of 128 for the batch norm statistics of one measurement.
const BATCHES: usize = 4;

/// Measures distortion against one original on one split.
pub struct DivergenceMeter<'a> {
    original: &'a Network,
    grouping: &'a Grouping,
    split: &'a Split,
    samples: Tensor,
    /// Log-probabilities of the original, `[samples, classes]`.
    reference: Tensor,
    seed: u64,
}

impl<'a> DivergenceMeter<'a> {
    pub fn new(original: &'a Network, grouping: &'a Grouping, split: &'a Split, seed: u64) -> Result<Self, Error> {
        let samples = split.range(0..split.count().min(SAMPLES))?;
        let reference = original.logits(samples.shallow_clone())?.f_log_softmax(1, Kind::Float)?;
        Ok(Self { original, grouping, split, samples, reference, seed })
    }

    /// The network of a configuration, cut, with new batch norm statistics.
    pub fn network(&self, configuration: &Configuration) -> Result<Network, Error> {
        let network = cut::network(self.original, self.grouping, configuration)?;
        batch_norm::reestimate_on(network, self.split, self.seed, BATCHES)
    }

    /// KL divergence of a network's outputs from the original's, nats, mean over the samples.
    pub fn divergence(&self, network: &Network) -> Result<f64, Error> {
        let _no_grad = tch::no_grad_guard();
        let outputs = network.logits(self.samples.shallow_clone())?.f_log_softmax(1, Kind::Float)?;
        mean_divergence(&outputs, &self.reference)
    }

    /// The sensitivity of one group at one width: itself cut to it, everything else whole.
    pub fn sensitivity(&self, importance: &Importance, probe: Probe) -> Result<Sensitivity, Error> {
        let Probe { group, width } = probe;
        let mut widths: Vec<usize> = self.grouping.groups().iter().map(|group| group.channels()).collect();
        widths[group] = width;
        let network = self.network(&Configuration::by_importance(importance, &widths))?;
        Ok(Sensitivity { group, width, divergence: self.divergence(&network)? })
    }
}

/// KL divergence of log-probabilities `[samples, classes]` from a reference's, nats, mean over the samples.
fn mean_divergence(outputs: &Tensor, reference: &Tensor) -> Result<f64, Error> {
    let sum = outputs.f_kl_div(reference, Reduction::Sum, true)?.f_double_value(&[])?;
    Ok(sum / reference.size()[0].max(1) as f64)
}

//! Output distortion: how far a cut network's answers are from the original's, without labels.
//!
//! A configuration is cut physically, its batch norm statistics are estimated anew on a few batches, and the KL divergence of
//! its output distribution from the original's is averaged over a few hundred samples. Measured for one group at a time
//! at a few widths it is that group's sensitivity; sums of sensitivities rank configurations (`search::additive`). Measured for
//! random configurations of the cost band it is what that sum can be calibrated on (`search::calibrated`).

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use secateur_core::candidate::Configuration;
use secateur_core::group::Grouping;
use secateur_core::importance::Importance;
use secateur_core::search::additive::{Probe, Sensitivity};
use secateur_core::search::calibrated::InBand;
use secateur_core::search::space::{Band, Space};
use secateur_core::surgery;
use tch::{Kind, Reduction, Tensor};

use crate::cut;
use crate::data::Split;
use crate::error::Error;
use crate::evaluate;
use crate::network::Network;
use crate::recalibrate;

/// Samples on which outputs are compared.
const SAMPLES: i64 = 512;

/// Batches of 128 for the batch norm statistics of one measurement.
const BATCHES: usize = 4;

/// Measures distortion against one original on one split.
pub struct Judge<'a> {
    original: &'a Network,
    grouping: &'a Grouping,
    split: &'a Split,
    samples: Tensor,
    /// Log-probabilities of the original, `[samples, classes]`.
    reference: Tensor,
    /// Divergence of the original's mean answer from its answers, nats.
    uninformed: f64,
    seed: u64,
}

impl<'a> Judge<'a> {
    pub fn new(original: &'a Network, grouping: &'a Grouping, split: &'a Split, seed: u64) -> Result<Self, Error> {
        let samples = split.range(0..split.count().min(SAMPLES))?;
        let reference = original.logits(samples.shallow_clone())?.f_log_softmax(1, Kind::Float)?;
        let mean = reference.f_exp()?.f_mean_dim(0i64, true, Kind::Float)?.f_log()?;
        let uninformed = mean_divergence(&mean.f_expand_as(&reference)?, &reference)?;
        Ok(Self { original, grouping, split, samples, reference, uninformed, seed })
    }

    /// The network of a configuration, cut, with new batch norm statistics.
    pub fn network(&self, configuration: &Configuration) -> Result<Network, Error> {
        let cut = surgery::cut(self.original.graph(), self.grouping, configuration)
            .map_err(|error| Error::internal(error.to_string()))?;
        let weights = cut::apply(self.original.graph(), &cut, self.original.weights())?;
        recalibrate::batch_norm_on(Network::new(cut.graph, weights)?, self.split, self.seed, BATCHES)
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
        let groups = self.grouping.groups().iter().enumerate();
        let widths = groups.map(|(other, all)| (other, if other == group { width } else { all.channels() }));
        let keep = widths.map(|(other, width)| importance.most_important(other, width)).collect();
        let network = self.network(&Configuration { keep })?;
        Ok(Sensitivity { group, width, divergence: self.divergence(&network)? })
    }

    /// A random configuration of the band, the `draw`-th of this judge's seed; `None` when the draw leads nowhere.
    pub fn in_band(
        &self,
        importance: &Importance,
        space: &Space<'_>,
        band: Band,
        draw: u64,
    ) -> Result<Option<InBand>, Error> {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        // The search draws from the streams that count up from 0.
        random.set_stream(u64::MAX - draw);
        let Some(point) = space.draw(band, &mut random) else { return Ok(None) };
        let widths = space.kept(&point.levels);
        let keep = widths.iter().enumerate().map(|(group, &width)| importance.most_important(group, width));
        let network = self.network(&Configuration { keep: keep.collect() })?;
        Ok(Some(InBand { divergence: self.divergence(&network)?, uninformed: self.uninformed, widths }))
    }

    /// Accuracy of a network on a split; 0 without labels.
    pub fn accuracy(&self, network: &Network, val: &Split) -> Result<f64, Error> {
        Ok(evaluate::accuracy(network, val)?.unwrap_or(0.0))
    }
}

/// KL divergence of log-probabilities `[samples, classes]` from a reference's, nats, mean over the samples.
fn mean_divergence(outputs: &Tensor, reference: &Tensor) -> Result<f64, Error> {
    let sum = outputs.f_kl_div(reference, Reduction::Sum, true)?.f_double_value(&[])?;
    Ok(sum / reference.size()[0].max(1) as f64)
}

//! Output distortion: how far a cut network's answers are from the original's, without labels.
//!
//! A configuration is cut physically and brought back as far as a job brings it back without training ([`Recovery`]), and its distance
//! from the original ([`Outputs::distortion`], for a classifier the KL divergence of the class distributions) is averaged over a few
//! hundred samples. Measured for one group at a time at a few widths it is that group's sensitivity; sums of sensitivities rank
//! configurations (`search::ranking::sensitivity`). Measured for random configurations it is part of what the encoder can be fitted to
//! (`search::ranking::regression`).

use secateur_core::configuration::Configuration;
use secateur_core::group::Grouping;
use secateur_core::importance::Importance;
use secateur_core::search::ranking::sensitivity::{Probe, Sensitivity};
use secateur_core::spec::{ClosedForm, RecoverySpec};
use tch::{Kind, Tensor};

use crate::data::Split;
use crate::error::Error;
use crate::measure::batch_norm;
use crate::network::{Network, cut};
use crate::output::Outputs;
use crate::reconstruction::reconstruct;

/// Samples on which outputs are compared.
const SAMPLES: i64 = 512;

/// Batches of 128 for the batch norm statistics of one measurement.
const BATCHES: usize = 4;

/// What is done with a cut network before it is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// Batch norm statistics are estimated anew.
    Statistics,
    /// Layers that lost inputs are fitted anew, on so many samples at the most.
    ClosedForm { samples: i64 },
}

impl From<&RecoverySpec> for Recovery {
    fn from(spec: &RecoverySpec) -> Self {
        match spec.closed_form {
            ClosedForm::Never => Self::Statistics,
            ClosedForm::Always | ClosedForm::Auto => Self::ClosedForm { samples: spec.samples.get() as i64 },
        }
    }
}

/// Measures distortion against one original on one split.
pub struct DivergenceMeter<'a> {
    original: &'a Network,
    grouping: &'a Grouping,
    outputs: &'a Outputs,
    split: &'a Split,
    /// Batches of samples, each with what the original answers.
    samples: Vec<(Vec<Tensor>, Vec<Tensor>)>,
    recovery: Recovery,
    seed: u64,
}

impl<'a> DivergenceMeter<'a> {
    pub fn new(
        original: &'a Network,
        outputs: &'a Outputs,
        grouping: &'a Grouping,
        split: &'a Split,
        recovery: Recovery,
        seed: u64,
    ) -> Result<Self, Error> {
        let samples = split.ranges(split.affordable(SAMPLES)).map(|range| {
            let input = split.range(range)?;
            let answers = original.answers(&input)?;
            Ok((input, answers))
        });
        let samples = samples.collect::<Result<_, Error>>()?;
        Ok(Self { original, grouping, outputs, split, samples, recovery, seed })
    }

    /// The network of a configuration, cut and recovered.
    pub fn network(&self, configuration: &Configuration) -> Result<Network, Error> {
        let (cut, mut network) = cut::network(self.original, self.grouping, configuration)?;
        if let Recovery::ClosedForm { samples } = self.recovery {
            let (fitted, found) = reconstruct(self.original, &cut, network, self.split, samples, self.seed)?;
            if found.layers > 0 {
                return Ok(fitted);
            }
            network = fitted;
        }
        batch_norm::reestimate_on(network, self.split, self.seed, BATCHES)
    }

    /// How far a network's answers are from the original's, mean over the samples.
    pub fn divergence(&self, network: &Network) -> Result<f64, Error> {
        let _no_grad = tch::no_grad_guard();
        let (mut sum, mut count) = (0.0, 0.0);
        for (input, targets) in &self.samples {
            let answers = network.answers(input)?;
            let share = input[0].size().first().copied().unwrap_or(1) as f64;
            let distortion = self.outputs.distortion(&answers, targets)?;
            sum += share * distortion.f_to_kind(Kind::Double)?.f_double_value(&[])?;
            count += share;
        }
        Ok(sum / f64::max(count, 1.0))
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

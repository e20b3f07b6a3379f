//! What it is worth to choose channels by importance: the same widths with random channels are the control.
//!
//! The contrastive encoder of SACP learns to tell importance's choice from random ones; the stage `control` measures whether that
//! difference means anything. Channels are chosen for one candidate's widths, cut, repaired and
//! measured as in the screen.

use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;
use utoipa::ToSchema;

use crate::importance::Criterion;
use crate::statistics::Spread;

/// What networks are compared by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Measure {
    /// Share of samples whose class is the label; of sequences the share of places.
    Accuracy,
    /// Intersection over union of what the model and the labels give to a class, mean over the classes that occur.
    MeanIou,
    /// Of yes and no: the harmonic mean of precision and recall over all elements (F1, micro average).
    F1,
    /// One minus the edit distance between the sequence read and the label, over the longer of the two; mean over the samples.
    EditSimilarity,
    /// Share of samples whose label is among the five classes of largest score.
    Top5Accuracy,
    /// Mean absolute error, in the unit of the labels.
    MeanAbsoluteError,
    /// Square root of the mean squared error, in the unit of the labels.
    RootMeanSquaredError,
    /// Share of samples whose whole sequence is read without an error.
    ExactSequences,
    /// Share of samples that get the same class as from the original; of maps and sequences the share of places.
    Agreement,
    /// Of probabilities: the share of the original's deviance that is explained, 1 − KL / KL of the original's mean answer.
    ExplainedDeviance,
    /// Cosine of the angle to the original's vector.
    Cosine,
    /// Of values: the share of the variance that is explained, of the labels' or without labels of the original's; mean over the channels.
    R2,
    /// Mean of these over the outputs of a model whose outputs are of several kinds.
    Fidelity,
}

impl Measure {
    /// The name in reports.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Whether a greater value is a better one.
    pub fn higher_is_better(self) -> bool {
        !matches!(self, Self::MeanAbsoluteError | Self::RootMeanSquaredError)
    }

    /// Whether 1 is the best value, so that differences are told in points of a hundredth, as `--max-drop` counts them.
    pub fn is_share(self) -> bool {
        !matches!(self, Self::MeanAbsoluteError | Self::RootMeanSquaredError)
    }
}

/// One more number beside the metric that networks are chosen by.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MetricValue {
    /// What is measured.
    pub name: Measure,
    /// Which way is better.
    pub higher_is_better: bool,
    /// Of the original.
    pub base: HeldOut,
    /// Of the pruned network.
    pub pruned: HeldOut,
}

/// How good the networks of a job are by its own measure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MetricReport {
    /// What is measured: with labels how often or how nearly they are met, without labels how true the pruned network is to the original.
    pub name: Measure,
    /// Which way is better.
    pub higher_is_better: bool,
    /// Of the original.
    pub base: HeldOut,
    /// Of the pruned network.
    pub pruned: HeldOut,
    /// What else is usual to measure of such outputs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<MetricValue>,
}

/// A number on each of the splits that no network was trained on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HeldOut {
    /// On the validation split.
    pub val: f64,
    /// On the test split.
    pub test: f64,
}

/// Channels chosen by importance against random ones, at the same widths.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChannelChoice {
    /// The candidate whose widths all choices have.
    pub candidate: usize,
    /// What was measured on the validation split.
    pub measure: Measure,
    /// With the channels of largest L1 norm.
    pub l1: f64,
    /// With the first channels of the job's own order; the same as `l1` when that is L1.
    pub own: f64,
    /// The criterion of the job's own order.
    pub own_criterion: Criterion,
    /// With random channels, over several draws.
    pub random: Spread,
    /// `l1` minus the mean of `random`.
    pub l1_gap: f64,
}

impl ChannelChoice {
    /// Draws of random channels.
    pub const DRAWS: usize = 4;

    /// With fewer draws nothing is said: a spread needs two.
    pub const LEAST_DRAWS: usize = 2;

    /// Whether L1 is no better than a random draw of one standard deviation above the mean.
    pub fn is_within_spread(&self) -> bool {
        self.l1_gap <= self.random.std
    }
}

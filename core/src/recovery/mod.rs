//! What is measured of a pruned network while it gets its quality back: after the cut, after the repair, after each training.

mod choice;

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::surgery::Equivalence;

pub use choice::{ChannelChoice, HeldOut, Measure, MetricReport};

/// Share of samples whose class of largest output is the label, by split.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Accuracy {
    /// Share on the validation split, 0 to 1.
    pub val: f64,
    /// Share on the test split, 0 to 1.
    pub test: f64,
}

/// What networks and epochs are compared by, on the validation split: the greater accuracy, of equals the smaller loss.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// `None` without labels.
    #[serde(default)]
    pub accuracy: Option<f64>,
    /// How true the network is to the original, where there are no labels: the value of the job's [`Measure`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fidelity: Option<f64>,
    /// Cross-entropy, without labels the distillation loss.
    pub loss: f64,
}

impl Score {
    /// The loss of a network whose loss is not finite.
    pub const WORST_LOSS: f64 = f64::MAX;

    /// Accuracy, or without labels fidelity.
    pub fn value(&self) -> Option<f64> {
        self.accuracy.or(self.fidelity)
    }

    /// `Greater` for the better one.
    pub fn order(&self, other: &Self) -> Ordering {
        let accuracy = |score: &Self| score.accuracy.unwrap_or(0.0);
        accuracy(self).total_cmp(&accuracy(other)).then(other.loss.total_cmp(&self.loss))
    }

    /// Whether the score is strictly better than another.
    pub fn is_better_than(&self, other: &Self) -> bool {
        self.order(other) == Ordering::Greater
    }
}

/// What the screen found out about one candidate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Screened {
    /// Index of the candidate.
    pub candidate: usize,
    /// The check that the surgery changed nothing but what it removed.
    pub equivalence: Equivalence,
    /// Validation accuracy right after surgery, repaired in closed form or with re-estimated batch norm statistics; `None` without
    /// labels.
    #[serde(default)]
    pub accuracy: Option<f64>,
    /// How true it is to the original on the validation split, where there are no labels: the value of the job's [`Measure`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreement: Option<f64>,
    /// What the repair in closed form did; `None` where it was not tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_form: Option<ClosedFormResult>,
}

/// What a repair in closed form did to one network.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ClosedFormResult {
    /// Whether the network was taken as it was repaired, and not with re-estimated batch norm statistics alone.
    pub used: bool,
    /// Layers that were fitted anew.
    pub layers: u32,
    /// Layers that lost inputs and could not be fitted.
    pub left: u32,
    /// Samples that they were fitted on.
    pub samples: u32,
    /// The validation metric with the repair.
    pub repaired: Option<f64>,
    /// The validation metric with re-estimated batch norm statistics in its place; `null` where that was not tried.
    #[serde(default)]
    pub without: Option<f64>,
}

impl Screened {
    /// What candidates are compared by: accuracy, without labels agreement with the original, without data nothing.
    pub fn value(&self) -> f64 {
        self.accuracy.or(self.agreement).unwrap_or(0.0)
    }
}

/// A candidate after a rung.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rated {
    /// Index of the candidate.
    pub candidate: usize,
    /// Its score on the validation split.
    pub score: Score,
}

/// One epoch of fine-tuning.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Epoch {
    /// Number of the epoch, from 1.
    pub epoch: u32,
    /// Mean training loss of the epoch.
    pub train_loss: f64,
    /// Validation accuracy after the epoch, 0 to 1; `null` without labels.
    #[serde(default)]
    pub val_accuracy: Option<f64>,
    /// Without labels: how true the network is to the original on the validation split after the epoch, by the report's `metric`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub val_fidelity: Option<f64>,
    /// Wall time of the epoch, seconds.
    pub seconds: f64,
}

/// What the full fine-tune found out about one candidate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TuneResult {
    /// Index of the candidate.
    pub candidate: usize,
    /// The epochs, in the order in which they ran.
    pub epochs: Vec<Epoch>,
    /// 0 when no epoch was better than the network before them.
    pub best_epoch: u32,
    /// Of the best epoch; `None` without labels.
    #[serde(default)]
    pub accuracy: Option<Accuracy>,
    /// Of the best epoch, which is chosen by it.
    pub score: Score,
}

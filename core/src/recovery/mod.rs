//! What is measured of a pruned network while it gets its quality back: after the cut, after the repair, after each training.

mod choice;
mod judgement;
mod supervision;

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::dataset::SplitCounts;
use crate::dataset::source::SourceFormat;
use crate::spec::{BatchNorm, Optimizer, Precision};
use crate::surgery::Equivalence;

pub use choice::{ChannelChoice, HeldOut, Measure, MetricReport, MetricValue};
pub use judgement::{DecidedBy, JudgeReport, JudgeScore, Judgement};
pub use supervision::{Supervision, SupervisionLoss, objectives};

/// Share of samples whose class of largest output is the label, by split.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Accuracy {
    /// Share on the validation split, 0 to 1.
    pub val: f64,
    /// Share on the test split, 0 to 1.
    pub test: f64,
}

/// The data set of the job, as it was used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DataReport {
    /// Samples of each split.
    pub samples: SplitCounts,
    /// The largest label + 1; `null` where the labels are no numbers of classes.
    pub classes: Option<usize>,
    /// Classes that the model tells apart; `null` when its output is not one score per class.
    pub outputs: Option<usize>,
    /// What the labels were to the model; `null` without labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supervision: Option<Supervision>,
    /// What the arrays were made of; `null` where the user sent arrays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceReport>,
}

/// A data set of pictures, recordings or tables, of which arrays were made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SourceReport {
    /// The format of the file.
    pub format: SourceFormat,
    /// The names of the classes in the order of their numbers; empty where the file does not name them.
    pub class_names: Vec<String>,
    /// Samples that could not be read and were left out.
    pub bad_samples: usize,
    /// The first of them.
    pub first_bad: Vec<UnreadSample>,
}

/// A sample that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UnreadSample {
    /// Its file in the archive, or its row in a table.
    pub name: String,
    /// What is wrong with it.
    pub reason: String,
}

/// What networks and epochs are compared by, on the validation split: the better metric, of equals the smaller loss.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Where the job's [`Measure`] is accuracy.
    #[serde(default)]
    pub accuracy: Option<f64>,
    /// The value of any other [`Measure`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<f64>,
    /// The loss with the labels, without labels the distillation loss.
    pub loss: f64,
}

impl Score {
    /// The loss of a network whose loss is not finite.
    pub const WORST_LOSS: f64 = f64::MAX;

    /// A score by this measure. A value that is not finite is none, which is worse than any; a loss that is not finite is
    /// [`Self::WORST_LOSS`].
    pub fn new(measure: Measure, value: Option<f64>, loss: f64) -> Self {
        let value = value.filter(|value| value.is_finite());
        let loss = if loss.is_finite() { loss } else { Self::WORST_LOSS };
        match measure {
            Measure::Accuracy => Self { accuracy: value, metric: None, loss },
            _ => Self { accuracy: None, metric: value, loss },
        }
    }

    /// The value of the job's measure, whichever it is.
    pub fn value(&self) -> Option<f64> {
        self.accuracy.or(self.metric)
    }

    /// `Greater` for the better one.
    pub fn order(&self, other: &Self) -> Ordering {
        let value = |score: &Self| score.value().unwrap_or(f64::MIN);
        value(self).total_cmp(&value(other)).then(other.loss.total_cmp(&self.loss))
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
    /// Validation accuracy right after surgery, repaired in closed form or with re-estimated batch norm statistics; `None` where the
    /// job's [`Measure`] is another.
    #[serde(default)]
    pub accuracy: Option<f64>,
    /// The value of any other [`Measure`] on the validation split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<f64>,
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
    /// The validation metric with re-estimated batch norm statistics in place of the repair; `null` where that was not tried. Four batches are
    /// used, and all sixteen where that network is the better one.
    #[serde(default)]
    pub without: Option<f64>,
}

impl Screened {
    /// What candidates are compared by: the job's measure, where there is none, without data above all, the least number.
    pub fn value(&self) -> f64 {
        self.accuracy.or(self.metric).unwrap_or(f64::MIN)
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
    /// Validation accuracy after the epoch, 0 to 1; `null` where the report's `metric` is another.
    #[serde(default)]
    pub val_accuracy: Option<f64>,
    /// The value of any other `metric` on the validation split after the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub val_metric: Option<f64>,
    /// Wall time of the epoch, seconds.
    pub seconds: f64,
}

/// How a network was in fact trained: what `fine_tune` leaves open is decided here. The same words in the spec ask for the same without a
/// trial.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Recipe {
    /// `sgd` or `adamw`.
    pub optimizer: Optimizer,
    /// The learning rate that the schedule rose to.
    pub lr: f64,
    /// `train` or `frozen`; `train` also where the network has no batch norm.
    pub batch_norm: BatchNorm,
    /// `float32` or `bfloat16`.
    pub precision: Precision,
    /// Samples that ran through the network at once: the batch, or less where memory ran out or the spec says so.
    pub micro_batch: u32,
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
    /// How the epochs were trained; `None` in results of earlier versions.
    #[serde(default)]
    pub recipe: Option<Recipe>,
    /// Of the best epoch; `None` where the job's [`Measure`] is another.
    #[serde(default)]
    pub accuracy: Option<Accuracy>,
    /// Of the best epoch, which is chosen by it.
    pub score: Score,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_whose_answers_are_no_numbers_is_worse_than_any_other() {
        let score = |value, loss| Score::new(Measure::R2, Some(value), loss);
        let broken = score(f64::NAN, f64::NAN);
        assert!(score(-1e9, 1e9).is_better_than(&broken) && !broken.is_better_than(&score(-1e9, 1e9)));
        assert_eq!((broken.metric, broken.loss), (None, Score::WORST_LOSS));
        assert!(score(0.5, 2.0).is_better_than(&score(0.4, 1.0)), "the metric comes first");
        assert!(score(0.5, 1.0).is_better_than(&score(0.5, 2.0)), "then the loss");
    }
}

//! What is told of a fine-tune: of each epoch while it runs, and in the report how it was trained.

use secateur_core::recovery::{Epoch, Measure, Recipe};
use secateur_core::spec::{self, BatchNorm};
use secateur_core::wire::Reading;

use super::optimizer::Rule;
use crate::torch::{Precision, Statistics, Training};

/// An epoch's mean training loss, and what its network is worth on the validation split.
pub(super) fn reading(candidate: usize, epoch: &Epoch, measure: Measure) -> Reading {
    let validated = [("accuracy", epoch.val_accuracy), (measure.as_str(), epoch.val_metric)];
    let validated = validated.into_iter().filter_map(|(name, value)| Some((format!("validation_{name}"), value?)));
    let figures = validated.chain([("training_loss".to_owned(), epoch.train_loss)]).collect();
    Reading { unit: "epoch".to_owned(), step: u64::from(epoch.epoch), candidate: Some(candidate), figures }
}

/// What the spec left open, as it was decided. `pass`: samples that ran through the network at once.
pub(super) fn recipe(rule: Rule, lr: f64, training: Training, pass: i64) -> Recipe {
    Recipe {
        optimizer: match rule {
            Rule::Sgd => spec::Optimizer::Sgd,
            Rule::AdamW => spec::Optimizer::Adamw,
        },
        lr,
        batch_norm: match training.statistics {
            Statistics::OfBatch => BatchNorm::Train,
            Statistics::Running => BatchNorm::Frozen,
        },
        precision: match training.precision {
            Precision::Float32 => spec::Precision::Float32,
            Precision::Bfloat16 => spec::Precision::Bfloat16,
        },
        micro_batch: pass as u32,
    }
}

//! Where a fine-tune stands after an epoch, and how that is kept in a checkpoint.
//!
//! Everything random is drawn from (seed, epoch), so weights, the optimiser's moments, the best weights so far and the history are all.

use secateur_core::graph::Graph;
use secateur_core::recovery::{Epoch, Score};
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::optimizer::Rule;
use super::{Best, trained_indices};
use crate::error::Error;
use crate::network::weights;
use crate::process::checkpoint::{Saved, numbers};
use crate::torch::{Precision, Statistics, Training};

/// A fine-tune between two epochs.
pub(super) struct Standing {
    pub is_lowered: bool,
    pub training: Training,
    /// The learning rate that the schedule rises to.
    pub peak: f64,
    pub weights: Vec<Tensor>,
    /// The optimiser's, of the trained parameters in the graph's order.
    pub moments: Vec<Vec<Tensor>>,
    /// Of the trained parameters, where an average of the weights is kept.
    pub average: Vec<Tensor>,
    pub best: Best,
    pub epochs: Vec<Epoch>,
}

/// The whole numbers of it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct State {
    /// Whether the learning rate has been lowered, after a loss that was not finite.
    pub is_lowered: bool,
    /// Whether steps are computed in bfloat16.
    #[serde(default)]
    pub is_bfloat16: bool,
    /// Whether batch norm keeps its running statistics.
    #[serde(default)]
    pub is_frozen: bool,
    /// The learning rate that the schedule rises to.
    pub peak: f64,
    /// Whether an average of the weights is kept.
    #[serde(default)]
    pub has_average: bool,
    pub best_epoch: u32,
}

impl Standing {
    /// The tensors of a checkpoint.
    pub(super) fn tensors(
        graph: &Graph,
        student: &[Tensor],
        moments: &[&[Tensor]],
        averages: &[Tensor],
        best: &Best,
        epochs: &[Epoch],
    ) -> Result<Vec<(String, Tensor)>, Error> {
        let mut tensors = Vec::new();
        for (index, parameter) in graph.parameters().iter().enumerate() {
            if parameter.tied_to.is_none() {
                tensors.push((weight(index), student[index].f_detach()?));
                tensors.push((best_weight(index), best.weights[index].f_detach()?));
            }
        }
        for (index, moments) in trained_indices(graph, student).into_iter().zip(moments) {
            let named =
                moments.iter().enumerate().map(|(number, tensor)| (moment(index, number), tensor.shallow_clone()));
            tensors.extend(named);
        }
        for (index, tensor) in trained_indices(graph, student).into_iter().zip(averages) {
            tensors.push((average(index), tensor.shallow_clone()));
        }
        let column = |value: fn(&Epoch) -> f64| epochs.iter().map(value).collect::<Vec<f64>>();
        tensors.push(numbers(
            BEST_SCORE,
            &[best.score.accuracy.unwrap_or(f64::NAN), best.score.metric.unwrap_or(f64::NAN), best.score.loss],
        )?);
        tensors.push(numbers(TRAIN_LOSS, &column(|epoch| epoch.train_loss))?);
        tensors.push(numbers(VAL_ACCURACY, &column(|epoch| epoch.val_accuracy.unwrap_or(f64::NAN)))?);
        tensors.push(numbers(VAL_METRIC, &column(|epoch| epoch.val_metric.unwrap_or(f64::NAN)))?);
        tensors.push(numbers(SECONDS, &column(|epoch| epoch.seconds))?);
        Ok(tensors)
    }

    /// Takes a checkpoint up, for a network that starts from `start`.
    pub(super) fn restore(
        state: State,
        saved: &mut Saved,
        rule: Rule,
        graph: &Graph,
        start: &[Tensor],
    ) -> Result<Self, Error> {
        let State { is_lowered, is_bfloat16, is_frozen, peak, has_average, best_epoch } = state;
        let training = Training {
            precision: if is_bfloat16 { Precision::Bfloat16 } else { Precision::Float32 },
            statistics: if is_frozen { Statistics::Running } else { Statistics::OfBatch },
        };
        let weights = weights::for_each_owned(graph, |index, _| saved.like(&weight(index), &start[index]))?;
        let best_weights = weights::for_each_owned(graph, |index, _| saved.like(&best_weight(index), &start[index]))?;
        let moments = trained_indices(graph, start)
            .into_iter()
            .map(|index| (0..rule.moments()).map(|number| saved.like(&moment(index, number), &start[index])).collect())
            .collect::<Result<_, Error>>()?;
        let averages = trained_indices(graph, start).into_iter();
        let averages = if has_average {
            averages.map(|index| saved.like(&average(index), &start[index])).collect::<Result<_, Error>>()?
        } else {
            Vec::new()
        };
        let score = saved.numbers(BEST_SCORE)?;
        let best = match score[..] {
            [accuracy, metric, loss] => {
                let score = Score { accuracy: known(accuracy), metric: known(metric), loss };
                Best { weights: best_weights, epoch: best_epoch, score }
            }
            _ => return Err(Error::internal(format!("its best score has {} parts", score.len()))),
        };
        let names = [TRAIN_LOSS, VAL_ACCURACY, VAL_METRIC, SECONDS];
        let columns: Vec<Vec<f64>> = names.into_iter().map(|name| saved.numbers(name)).collect::<Result<_, _>>()?;
        let count = columns[0].len();
        if columns.iter().any(|column| column.len() != count) || best_epoch as usize > count {
            return Err(Error::internal("its history does not fit together"));
        }
        let epoch = |index: usize| Epoch {
            epoch: index as u32 + 1,
            train_loss: columns[0][index],
            val_accuracy: known(columns[1][index]),
            val_metric: known(columns[2][index]),
            seconds: columns[3][index],
        };
        let epochs = (0..count).map(epoch).collect();
        Ok(Self { is_lowered, training, peak, weights, moments, average: averages, best, epochs })
    }
}

const BEST_SCORE: &str = "best.score";
const TRAIN_LOSS: &str = "epochs.train_loss";
const VAL_ACCURACY: &str = "epochs.val_accuracy";
const VAL_METRIC: &str = "epochs.val_metric";
const SECONDS: &str = "epochs.seconds";

/// A column holds NaN where there is no number.
fn known(number: f64) -> Option<f64> {
    Some(number).filter(|number| !number.is_nan())
}

fn weight(index: usize) -> String {
    format!("weight.{index}")
}

fn best_weight(index: usize) -> String {
    format!("best.{index}")
}

fn average(index: usize) -> String {
    format!("average.{index}")
}

fn moment(parameter: usize, number: usize) -> String {
    format!("moment.{number}.{parameter}")
}

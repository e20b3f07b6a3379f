//! Metrics with labels, added up batch by batch.

use secateur_core::recovery::{Measure, SupervisionLoss};
use tch::{Device, Kind, Tensor};

use super::loss::{Smoothing, loss_of};
use super::sequence::compare;
use super::{IGNORED, Pair, counts};
use crate::data::Labels;
use crate::error::Error;

/// Among how many classes of largest score a label is looked for.
const TOP: i64 = 5;

/// What has been counted of a network's answers so far.
pub struct Tally<'a> {
    labels: &'a Labels,
    samples: f64,
    loss: f64,
    counts: Counts,
}

enum Counts {
    /// Of classes: places that count, those that are right, those whose label is among the best five.
    Places {
        seen: f64,
        right: f64,
        among_best: f64,
        is_told_best: bool,
    },
    /// By class: places that both, the model and the labels give to it, int64 `[3, classes]`.
    Regions(Option<Tensor>),
    /// Yes where yes is right, yes where no is, no where yes is, and everything.
    Decisions {
        hits: f64,
        false_alarms: f64,
        misses: f64,
        seen: f64,
    },
    /// By channel, float64: number, sum and sum of squares of the labels, sums of squared and of absolute errors.
    Values(Option<Tensor>),
    Sequences {
        similarity: f64,
        exact: f64,
    },
}

/// What a network is worth on the samples of a tally.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// By the metric of the supervision.
    pub value: f64,
    /// The mean loss, without label smoothing.
    pub loss: f64,
    /// What else is usual to measure.
    pub others: Vec<(Measure, f64)>,
}

impl<'a> Tally<'a> {
    pub fn new(labels: &'a Labels) -> Self {
        let counts = match (labels.supervision().loss, labels.supervision().metric) {
            (SupervisionLoss::CrossEntropy, Measure::MeanIou) => Counts::Regions(None),
            (SupervisionLoss::CrossEntropy | SupervisionLoss::SoftCrossEntropy, _) => {
                Counts::Places { seen: 0.0, right: 0.0, among_best: 0.0, is_told_best: false }
            }
            (SupervisionLoss::Bce, _) => Counts::Decisions { hits: 0.0, false_alarms: 0.0, misses: 0.0, seen: 0.0 },
            (SupervisionLoss::Mse | SupervisionLoss::L1 | SupervisionLoss::Huber, _) => Counts::Values(None),
            (SupervisionLoss::Ctc { .. }, _) => Counts::Sequences { similarity: 0.0, exact: 0.0 },
        };
        Self { labels, samples: 0.0, loss: 0.0, counts }
    }

    /// Adds the answers to some samples, whose labels are `batch`.
    pub fn add(&mut self, answers: &[Tensor], batch: &Tensor) -> Result<(), Error> {
        let _no_grad = tch::no_grad_guard();
        let supervision = self.labels.supervision();
        let pair = Pair::of(self.labels, answers, batch)?;
        let samples = batch.size().first().copied().unwrap_or(0) as f64;
        self.samples += samples;
        self.loss += samples * loss_of(self.labels, &pair, Smoothing::None)?.f_double_value(&[])?;
        let Pair { answer, labels: wanted } = &pair;
        match &mut self.counts {
            Counts::Places { seen, right, among_best, is_told_best } => {
                let wanted = match supervision.loss {
                    SupervisionLoss::SoftCrossEntropy => wanted.f_argmax(1, false)?,
                    _ => wanted.shallow_clone(),
                };
                *seen += sum(&wanted.f_ne(IGNORED)?)?;
                *right += sum(&answer.f_argmax(1, false)?.f_eq_tensor(&wanted)?)?;
                if answer.size().get(1).is_some_and(|&classes| classes > TOP) {
                    let best = answer.f_topk(TOP, 1, true, false)?.1;
                    *among_best += sum(&best.f_eq_tensor(&wanted.f_unsqueeze(1)?)?)?;
                    *is_told_best = true;
                }
            }
            Counts::Regions(regions) => {
                let classes = answer.size().get(1).copied().unwrap_or(1);
                let counted = wanted.f_ne(IGNORED)?;
                let wanted = wanted.f_masked_select(&counted)?;
                let found = answer.f_argmax(1, false)?.f_masked_select(&counted)?;
                let both = found.f_masked_select(&found.f_eq_tensor(&wanted)?)?;
                let of = |numbers: &Tensor| numbers.f_to(Device::Cpu)?.f_bincount(None::<Tensor>, classes);
                added(regions, Tensor::f_stack(&[of(&both)?, of(&found)?, of(&wanted)?], 0)?)?;
            }
            Counts::Decisions { hits, false_alarms, misses, seen } => {
                let counted = counts(wanted, supervision)?.f_to_kind(Kind::Bool)?;
                let (yes, is_right) = (answer.f_gt(0.0)?, wanted.f_gt(0.5)?);
                let both = |a: &Tensor, b: &Tensor| sum(&a.f_logical_and(b)?.f_logical_and(&counted)?);
                *hits += both(&yes, &is_right)?;
                *false_alarms += both(&yes, &is_right.f_logical_not()?)?;
                *misses += both(&yes.f_logical_not()?, &is_right)?;
                *seen += sum(&counted)?;
            }
            Counts::Values(values) => {
                let axis = supervision.axis_behind_batch() as i64;
                let by_channel = |tensor: &Tensor| -> Result<Tensor, Error> {
                    let tensor = if (axis as usize) < tensor.dim() {
                        tensor.f_movedim_int(axis, 0)?
                    } else {
                        tensor.f_unsqueeze(0)?
                    };
                    let channels = tensor.size()[0];
                    Ok(tensor.f_to_kind(Kind::Double)?.f_reshape([channels, -1])?)
                };
                let (wanted, error) = (by_channel(wanted)?, by_channel(&answer.f_sub(wanted)?)?);
                let sums = [
                    wanted.f_ones_like()?,
                    wanted.shallow_clone(),
                    wanted.f_square()?,
                    error.f_square()?,
                    error.f_abs()?,
                ];
                let sums = sums.map(|tensor| tensor.f_sum_dim_intlist([1_i64].as_slice(), false, Kind::Double));
                let sums: Vec<Tensor> = sums.into_iter().collect::<Result<_, _>>()?;
                added(values, Tensor::f_stack(&sums, 0)?.f_to(Device::Cpu)?)?;
            }
            Counts::Sequences { similarity, exact } => {
                let SupervisionLoss::Ctc { blank } = supervision.loss else {
                    return Err(Error::internal("sequences are compared that were not read by ctc"));
                };
                let compared = compare(&pair, supervision, i64::from(blank))?;
                *similarity += compared.similarity;
                *exact += compared.exact;
            }
        }
        Ok(())
    }

    pub fn finish(&self) -> Result<Judged, Error> {
        let samples = self.samples.max(1.0);
        let share = |part: f64, whole: f64| part / whole.max(1.0);
        let (value, others) = match &self.counts {
            &Counts::Places { seen, right, among_best, is_told_best } => {
                let others = is_told_best.then(|| (Measure::Top5Accuracy, share(among_best, seen)));
                (share(right, seen), others.into_iter().collect())
            }
            Counts::Regions(regions) => {
                let [both, found, wanted] = rows(regions.as_ref())?;
                let unions =
                    both.iter().zip(&found).zip(&wanted).map(|((both, found), wanted)| (both, found + wanted - both));
                let ratios: Vec<f64> =
                    unions.filter(|&(_, union)| union > 0.0).map(|(both, union)| both / union).collect();
                let right = share(both.iter().sum(), wanted.iter().sum());
                (share(ratios.iter().sum(), ratios.len() as f64), vec![(Measure::Accuracy, right)])
            }
            &Counts::Decisions { hits, false_alarms, misses, seen } => {
                // Nothing to find and nothing found is right.
                let all = 2.0 * hits + false_alarms + misses;
                let f1 = if all > 0.0 { 2.0 * hits / all } else { 1.0 };
                let accuracy = 1.0 - share(false_alarms + misses, seen);
                match self.labels.supervision().metric {
                    Measure::Accuracy => (accuracy, vec![(Measure::F1, f1)]),
                    _ => (f1, vec![(Measure::Accuracy, accuracy)]),
                }
            }
            Counts::Values(values) => {
                let [number, sum, squares, squared, absolute] = rows(values.as_ref())?;
                let explained = (0..number.len()).filter_map(|channel| {
                    let spread = squares[channel] - sum[channel] * sum[channel] / number[channel].max(1.0);
                    // A channel that never varies cannot be explained.
                    (spread > 1e-12 * squares[channel]).then(|| 1.0 - squared[channel] / spread)
                });
                let explained: Vec<f64> = explained.collect();
                let all: f64 = number.iter().sum();
                let others = vec![
                    (Measure::MeanAbsoluteError, share(absolute.iter().sum(), all)),
                    (Measure::RootMeanSquaredError, share(squared.iter().sum(), all).sqrt()),
                ];
                (share(explained.iter().sum(), explained.len() as f64), others)
            }
            &Counts::Sequences { similarity, exact } => {
                (similarity / samples, vec![(Measure::ExactSequences, exact / samples)])
            }
        };
        Ok(Judged { value, loss: self.loss / samples, others })
    }
}

fn sum(truths: &Tensor) -> Result<f64, Error> {
    Ok(truths.f_sum(Kind::Int64)?.f_int64_value(&[])? as f64)
}

fn added(so_far: &mut Option<Tensor>, more: Tensor) -> Result<(), Error> {
    *so_far = Some(match so_far {
        Some(before) => before.f_add(&more)?,
        None => more,
    });
    Ok(())
}

/// The rows of what was added up; empty ones before anything was.
fn rows<const N: usize>(sums: Option<&Tensor>) -> Result<[Vec<f64>; N], Error> {
    let mut rows = [const { Vec::new() }; N];
    if let Some(sums) = sums {
        for (row, number) in rows.iter_mut().zip(0..) {
            *row = Vec::<f64>::try_from(&sums.f_get(number)?.f_to_kind(Kind::Double)?)?;
        }
    }
    Ok(rows)
}

//! What a fine-tune is to be like where the spec leaves it open: the highest learning rate of a few with which a short one gets about as far
//! as with any, and whether batch norm is frozen.

use super::loss::Loss;
use super::optimizer::{Optimizer, Rule};
use super::schedule::Schedule;
use super::{Session, Slope, Start, slope, trainable_copy, trained};
use crate::error::Error;
use crate::measure::batch_norm::{for_training, keeps_statistics};
use crate::network::Network;
use crate::torch::{Precision, Statistics, Training};
use secateur_core::spec::{BatchNorm, FineTune};

/// What the usual rate is divided by.
const DIVISORS: [f64; 4] = [1.0, 3.0, 10.0, 30.0];

/// Steps of a trial: so many of the fine-tune's steps to one of them, but so many at the least and at the most.
const SHARE: u64 = 25;
const FEWEST: u64 = 8;
const MOST: u64 = 40;

/// Steps of the whole fine-tune up to which nothing is tried.
const FEW: u64 = 40;

/// How much larger than the smallest loss that of a higher rate may be: what it loses in a few steps it makes up for in many.
const TOLERANCE: f64 = 1.05;

/// How much smaller the loss with frozen batch norm has to be: a network whose batch norm trains begins with a shock, which costs it less in
/// a whole fine-tune than in a short one.
const FROZEN_SHARE: f64 = 0.8;

/// How steps are made, and the peak of the schedule: what the spec asks for, or what trials say, which are forgotten.
///
/// # Errors
/// A batch cannot be drawn.
pub(super) fn choose<'t>(
    session: &'t Session,
    start: Start<'t>,
    rule: Rule,
    precision: Precision,
) -> Result<(Training, f64), Error> {
    let FineTune { lr, batch_norm, epochs, .. } = *session.settings;
    let usual = rule.rate(session.settings);
    let total = session.steps_of_an_epoch()? * u64::from(epochs);
    let is_tried = lr.is_none() && total >= FEW;
    let training = |statistics| Training { precision, statistics };
    let ways = match batch_norm {
        BatchNorm::Train => &[Statistics::OfBatch][..],
        BatchNorm::Frozen => &[Statistics::Running],
        // The large steps of SGD are what batch statistics allow.
        BatchNorm::Auto if is_tried && rule == Rule::AdamW && keeps_statistics(start.graph) => {
            &[Statistics::OfBatch, Statistics::Running]
        }
        BatchNorm::Auto => &[Statistics::OfBatch],
    };
    if !is_tried {
        return Ok((training(ways[0]), usual));
    }
    let trials = Trials { session, start, rule, usual, steps: (total / SHARE).clamp(FEWEST, MOST) };
    let mut best: Option<(Training, Found)> = None;
    for way in ways.iter().copied().map(training) {
        match trials.rate(way) {
            Ok(found) if best.as_ref().is_none_or(|(_, before)| found.loss < FROZEN_SHARE * before.loss) => {
                best = Some((way, found));
            }
            Ok(_) => {}
            // Whoever trains goes on with fewer samples in a pass.
            Err(error) => {
                session.messages.log(format!("the learning rate is the usual one, since its trial failed: {error}"));
                return Ok((training(ways[0]), usual));
            }
        }
    }
    let (way, found) = best.ok_or_else(|| Error::internal("a fine-tune without a way"))?;
    Ok((way, found.rate))
}

/// What all trials have in common.
struct Trials<'t, 's> {
    session: &'t Session<'s>,
    start: Start<'t>,
    rule: Rule,
    usual: f64,
    steps: u64,
}

/// A rate and the loss of its trial.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Found {
    rate: f64,
    loss: f64,
}

impl Trials<'_, '_> {
    /// The rate for steps that are made in a way.
    fn rate(&self, way: Training) -> Result<Found, Error> {
        let mut found: Vec<Found> = Vec::new();
        for rate in DIVISORS.map(|divisor| self.usual / divisor) {
            let loss = trial(self.session, self.start, self.rule, way, rate, self.steps)?;
            found.push(Found { rate, loss });
            // Lower ones lose more where this one already has.
            if let [.., before, last] = found[..]
                && before.loss * TOLERANCE < last.loss
            {
                break;
            }
        }
        let said: Vec<String> = found.iter().map(|found| format!("{:.4} at {:.1e}", found.loss, found.rate)).collect();
        let with = if way.statistics == Statistics::Running { " with batch norm frozen" } else { "" };
        self.session.messages.log(format!("losses after {} steps on trial{with}: {}", self.steps, said.join(", ")));
        let lowest = Found { rate: self.usual / DIVISORS[DIVISORS.len() - 1], loss: f64::INFINITY };
        Ok(highest(&found).unwrap_or(lowest))
    }
}

/// Of rates, the highest first; `None` where no loss is finite.
fn highest(found: &[Found]) -> Option<Found> {
    let least = found.iter().map(|found| found.loss).filter(|loss| loss.is_finite()).min_by(f64::total_cmp)?;
    found.iter().find(|found| found.loss <= least * TOLERANCE).copied()
}

/// The mean loss of the last third of a short fine-tune with its warm-up and its cosine, each taken before the step that learns from it.
fn trial(session: &Session, start: Start, rule: Rule, training: Training, rate: f64, steps: u64) -> Result<f64, Error> {
    let &FineTune { micro_batch, batch_size, weight_decay, clip_norm, .. } = session.settings;
    let student = Network::new(for_training(start.graph)?, trainable_copy(start.graph, start.weights)?)?;
    let mut optimizer = Optimizer::new(rule, trained(start.graph, student.weights())?, weight_decay)?;
    let loss = Loss::new(session.outputs, session.train, session.settings);
    // Dropout draws the same for every rate.
    tch::manual_seed(session.seed as i64);
    let mut schedule = Schedule::new(rate, steps);
    let pass = micro_batch.unwrap_or(batch_size).get() as i64;
    let (mut sum, mut counted, mut done) = (0.0, 0, 0);
    for epoch in 1.. {
        for batch in session.train.shuffled(session.batch_size(), session.seed, epoch)? {
            let Slope { loss, gradients } = slope(&optimizer, &batch, pass, clip_norm, |part| {
                let (input, labels) = session.train.draw(part, None)?;
                let targets = loss.needs_original().then(|| session.answers_to(part, &input)).transpose()?;
                loss.of(&student.train(&input, training)?, labels.as_ref(), targets.as_deref())
            })?;
            let loss = loss.f_double_value(&[])?;
            if !loss.is_finite() {
                return Ok(f64::INFINITY);
            }
            if done * 3 >= steps * 2 {
                sum += loss;
                counted += 1;
            }
            optimizer.follow(gradients, schedule.next())?;
            done += 1;
            if done == steps {
                return Ok(sum / f64::from(counted));
            }
        }
    }
    unreachable!("epochs are not counted")
}

#[cfg(test)]
mod tests {
    use std::cell::OnceCell;

    use secateur_core::testing::Net;
    use tch::{Device, Kind, Tensor};

    use super::*;
    use crate::data::Split;
    use crate::measure::evaluate::Validator;
    use crate::output::Outputs;
    use crate::process::messages::Messages;

    fn random(shape: &[i64]) -> Tensor {
        Tensor::randn(shape, (Kind::Float, Device::Cpu))
    }

    /// What is chosen for a network of `[N, 8]` to `[N, 4]` that starts from these weights and is to come back to the original.
    fn way(rule: Rule, original: &Network, start: &[Tensor], split: &Split, settings: &str) -> (Training, f64) {
        let outputs = r#"[{"index": 0, "kind": "values", "axis": 1}]"#;
        let outputs = Outputs::of(original, split, &serde_json::from_str::<Vec<_>>(outputs).unwrap()).unwrap();
        let settings: FineTune = serde_json::from_str(settings).unwrap();
        let session = Session {
            original,
            outputs: &outputs,
            train: split,
            validator: &Validator::new(original, &outputs, split).unwrap(),
            settings: &settings,
            seed: 0,
            messages: &Messages::discard(),
            answers: OnceCell::new(),
            checkpoints: None,
        };
        let start = Start { graph: original.graph(), weights: start, hints: &[], candidate: 0 };
        choose(&session, start, rule, Precision::Float32).unwrap()
    }

    /// The rate for a linear layer with inputs of this size.
    fn chosen(size: f64, settings: &str) -> f64 {
        let mut net = Net::new(&[8]);
        net.linear("fc", 4);
        tch::manual_seed(0);
        let original = Network::new(net.graph(), vec![random(&[4, 8]), random(&[4])]).unwrap();
        let split = Split::of_tensors(random(&[256, 8]) * size, None);
        way(Rule::Sgd, &original, &[random(&[4, 8]), random(&[4])], &split, settings).1
    }

    /// How batch norm runs in a network that starts with running means this far from its inputs', and trains on batches of four.
    fn statistics(rule: Rule, off: f64, more: &str) -> Statistics {
        let mut net = Net::new(&[8]);
        net.batch_norm("norm").linear("fc", 4);
        tch::manual_seed(0);
        let ones = || Tensor::ones([8], (Kind::Float, Device::Cpu));
        let weights = |mean: f64| {
            tch::manual_seed(1);
            vec![ones(), ones() - 1.0, ones() - 1.0 + mean, ones(), random(&[4, 8]), random(&[4])]
        };
        let original = Network::new(net.graph(), weights(0.0)).unwrap();
        let split = Split::of_tensors(random(&[256, 8]), None);
        let settings = format!(r#"{{"batch_size": 4, "epochs": 20{more}}}"#);
        way(rule, &original, &weights(off), &split, &settings).0.statistics
    }

    /// Four samples say little of mean and variance, and a network that has both right already is best left with them.
    #[test]
    fn batch_norm_is_frozen_where_batches_say_less_than_the_running_statistics() {
        assert_eq!(statistics(Rule::AdamW, 0.01, ""), Statistics::Running);
        assert_eq!(statistics(Rule::AdamW, 30.0, ""), Statistics::OfBatch);
        assert_eq!(statistics(Rule::Sgd, 0.01, ""), Statistics::OfBatch);
        assert_eq!(statistics(Rule::AdamW, 0.01, r#", "batch_norm": "train""#), Statistics::OfBatch);
        assert_eq!(statistics(Rule::Sgd, 30.0, r#", "batch_norm": "frozen""#), Statistics::Running);
        // Nothing is tried where the rate is named.
        assert_eq!(statistics(Rule::AdamW, 0.01, r#", "lr": 0.01"#), Statistics::OfBatch);
    }

    /// The loss is in variances of the outputs, so the smaller these are the steeper it is for the layer's bias.
    #[test]
    fn a_network_that_the_usual_rate_breaks_gets_a_lower_one() {
        let settings = r#"{"optimizer": "sgd", "batch_size": 16, "epochs": 20, "weight_decay": 0}"#;
        assert_eq!(chosen(1.0, settings), 0.05);
        assert!(chosen(0.03, settings) < 0.05);
    }

    #[test]
    fn nothing_is_tried_where_the_rate_is_named_or_the_steps_are_few() {
        let settings = |more: &str| format!(r#"{{"optimizer": "sgd", "batch_size": 16, {more}}}"#);
        assert_eq!(chosen(0.03, &settings(r#""epochs": 20, "lr": 0.04"#)), 0.04);
        assert_eq!(chosen(0.03, &settings(r#""epochs": 2"#)), 0.05);
    }

    #[test]
    fn the_highest_rate_of_about_the_smallest_loss_is_taken() {
        let rate = |losses: &[(f64, f64)]| {
            let found: Vec<Found> = losses.iter().map(|&(rate, loss)| Found { rate, loss }).collect();
            highest(&found).map(|found| found.rate)
        };
        assert_eq!(rate(&[(0.1, f64::INFINITY), (0.01, 1.04), (0.001, 1.0), (0.0001, 2.0)]), Some(0.01));
        assert_eq!(rate(&[(0.1, 3.0), (0.01, 1.04), (0.001, 0.9)]), Some(0.001));
        assert_eq!(rate(&[(0.1, f64::INFINITY)]), None);
    }
}

//! The learning rate of a network that the spec names none for: the highest of a few with which a short fine-tune gets about as far as with any.

use super::loss::Loss;
use super::optimizer::{Optimizer, Rule};
use super::schedule::Schedule;
use super::{Session, Slope, Start, slope, trainable_copy, trained};
use crate::error::Error;
use crate::measure::batch_norm::for_training;
use crate::network::Network;
use crate::torch::Precision;
use secateur_core::spec::FineTune;

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

/// The peak of the schedule: what the spec asks for, or what trials say, which are forgotten.
///
/// # Errors
/// A batch cannot be drawn.
pub(super) fn rate(session: &Session, start: Start, rule: Rule, precision: Precision) -> Result<f64, Error> {
    let usual = rule.rate(session.settings);
    let total = session.steps_of_an_epoch()? * u64::from(session.settings.epochs);
    let steps = (total / SHARE).clamp(FEWEST, MOST);
    if session.settings.lr.is_some() || total < FEW {
        return Ok(usual);
    }
    let mut losses: Vec<(f64, f64)> = Vec::new();
    for rate in DIVISORS.map(|divisor| usual / divisor) {
        match trial(session, start, rule, precision, rate, steps) {
            Ok(loss) => losses.push((rate, loss)),
            // Whoever trains goes on with fewer samples in a pass.
            Err(error) => {
                session.messages.log(format!("the learning rate is the usual one, since its trial failed: {error}"));
                return Ok(usual);
            }
        }
        // Lower ones lose more where this one already has.
        if let [.., (_, before), (_, last)] = losses[..]
            && before * TOLERANCE < last
        {
            break;
        }
    }
    let said: Vec<String> = losses.iter().map(|(rate, loss)| format!("{loss:.4} at {rate:.1e}")).collect();
    session.messages.log(format!("losses after {steps} steps on trial: {}", said.join(", ")));
    Ok(highest(&losses).unwrap_or(usual / DIVISORS[DIVISORS.len() - 1]))
}

/// Of (rate, loss), highest rate first; `None` where no loss is finite.
fn highest(losses: &[(f64, f64)]) -> Option<f64> {
    let least = losses.iter().map(|(_, loss)| *loss).filter(|loss| loss.is_finite()).min_by(f64::total_cmp)?;
    losses.iter().find(|(_, loss)| *loss <= least * TOLERANCE).map(|(rate, _)| *rate)
}

/// The mean loss of the last third of a short fine-tune with its warm-up and its cosine, each taken before the step that learns from it.
fn trial(
    session: &Session,
    start: Start,
    rule: Rule,
    precision: Precision,
    rate: f64,
    steps: u64,
) -> Result<f64, Error> {
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
                loss.of(&student.train(&input, precision)?, labels.as_ref(), targets.as_deref())
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

    /// The rate for a linear layer that is to come back to itself, with inputs of this size.
    fn chosen(size: f64, settings: &str) -> f64 {
        let mut net = Net::new(&[8]);
        net.linear("fc", 4);
        tch::manual_seed(0);
        let random = |shape: &[i64]| Tensor::randn(shape, (Kind::Float, Device::Cpu));
        let original = Network::new(net.graph(), vec![random(&[4, 8]), random(&[4])]).unwrap();
        let split = Split::of_tensors(random(&[256, 8]) * size, None);
        let outputs = r#"[{"index": 0, "kind": "values", "axis": 1}]"#;
        let outputs = Outputs::of(&original, &split, &serde_json::from_str::<Vec<_>>(outputs).unwrap()).unwrap();
        let settings: FineTune = serde_json::from_str(settings).unwrap();
        let session = Session {
            original: &original,
            outputs: &outputs,
            train: &split,
            validator: &Validator::new(&original, &outputs, &split).unwrap(),
            settings: &settings,
            seed: 0,
            messages: &Messages::discard(),
            answers: OnceCell::new(),
            checkpoints: None,
        };
        let weights = [random(&[4, 8]), random(&[4])];
        let start = Start { graph: original.graph(), weights: &weights, hints: &[] };
        rate(&session, start, Rule::Sgd, Precision::Float32).unwrap()
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
        assert_eq!(highest(&[(0.1, f64::INFINITY), (0.01, 1.04), (0.001, 1.0), (0.0001, 2.0)]), Some(0.01));
        assert_eq!(highest(&[(0.1, 3.0), (0.01, 1.04), (0.001, 0.9)]), Some(0.001));
        assert_eq!(highest(&[(0.1, f64::INFINITY)]), None);
    }
}

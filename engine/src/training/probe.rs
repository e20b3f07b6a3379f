//! The learning rate of a network that the spec names none for: the highest of a few with which a short fine-tune gets about as far as with any.

use secateur_core::spec::FineTune;
use tch::Tensor;

use super::loss::Loss;
use super::optimizer::{Optimizer, Rule};
use super::schedule::Schedule;
use super::{Session, Start, trainable_copy, trained};
use crate::error::Error;
use crate::measure::batch_norm::for_training;
use crate::measure::evaluate::Reference;
use crate::network::Network;
use crate::torch::Precision;

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

/// The mean loss of the last third of a short fine-tune with its warm-up and its cosine: on batches that nothing was learnt from.
fn trial(
    session: &Session,
    start: Start,
    rule: Rule,
    precision: Precision,
    rate: f64,
    steps: u64,
) -> Result<f64, Error> {
    let FineTune { micro_batch, batch_size, weight_decay, .. } = session.settings;
    let student = Network::new(for_training(start.graph)?, trainable_copy(start.graph, start.weights)?)?;
    let mut optimizer = Optimizer::new(rule, trained(start.graph, student.weights())?, *weight_decay)?;
    let loss = Loss::new(session.outputs, session.train, session.settings);
    let reference = loss.needs_original().then_some(Reference::Live(session.original));
    // Dropout draws the same for every rate.
    tch::manual_seed(session.seed as i64);
    let mut schedule = Schedule::new(rate, steps);
    let (mut sum, mut counted) = (0.0, 0);
    let mut done = 0;
    for pass in 0.. {
        for batch in session.train.shuffled(micro_batch.unwrap_or(*batch_size).get() as i64, session.seed, pass)? {
            let (input, labels) = session.train.draw(&batch, None)?;
            let targets = reference.as_ref().map(|reference| reference.select(&batch, &input)).transpose()?;
            let answers = student.train(&input, precision)?;
            let value: Tensor = loss.of(&answers, labels.as_ref(), targets.as_deref())?;
            let number = value.f_double_value(&[])?;
            if !number.is_finite() {
                return Ok(f64::INFINITY);
            }
            if done * 3 >= steps * 2 {
                sum += number;
                counted += 1;
            }
            optimizer.step(&value, schedule.next())?;
            done += 1;
            if done == steps {
                return Ok(sum / f64::from(counted));
            }
        }
    }
    unreachable!("passes are not counted")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_rate_of_about_the_smallest_loss_is_taken() {
        assert_eq!(highest(&[(0.1, f64::INFINITY), (0.01, 1.04), (0.001, 1.0), (0.0001, 2.0)]), Some(0.01));
        assert_eq!(highest(&[(0.1, 3.0), (0.01, 1.04), (0.001, 0.9)]), Some(0.001));
        assert_eq!(highest(&[(0.1, f64::INFINITY)]), None);
    }
}

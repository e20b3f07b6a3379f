//! The control experiment: the widths of one candidate with the channels of largest L1 norm, with the first of the job's order, and
//! with random ones.

use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use secateur_core::configuration::Configuration;
use secateur_core::group::Grouping;
use secateur_core::importance::{Criterion, Evidence, Importance, ImportanceSpec, OnSamples};
use secateur_core::recovery::ChannelChoice;
use secateur_core::stage::control::{ControlResult, ControlWork};
use secateur_core::statistics::Spread;

use super::candidate::{self, Ground, Measured};
use super::importance;
use super::task::Task;
use crate::error::Error;
use crate::network::{Network, weights};

/// Compares choices of channels, as long as there is time.
///
/// # Errors
/// libtorch's.
pub(super) fn run(task: &Task, work: &ControlWork) -> Result<ControlResult, Error> {
    let clock = Clock { started: Instant::now(), allowed: work.seconds.map(Duration::from_secs_f64) };
    let original = task.original()?;
    let ground = Ground::needed(task, &original)?;
    let validator = ground.validator(&original)?;
    let channel_choice = compare(task, &original, (&ground, &validator), work.candidate, &clock)?;
    if channel_choice.is_none() {
        task.messages.log(format!(
            "random channels were not compared: {:.1} s were allowed, a twentieth of the job",
            work.seconds.unwrap_or(0.0)
        ));
    }
    Ok(ControlResult { channel_choice })
}

/// How long the experiment may go on.
struct Clock {
    started: Instant,
    /// `None` for ever.
    allowed: Option<Duration>,
}

impl Clock {
    /// Whether there is time for one more network, when `measured` of them took all the time so far.
    fn has_time_after(&self, measured: u32) -> bool {
        let elapsed = self.started.elapsed();
        self.allowed.is_none_or(|allowed| elapsed + elapsed / measured.max(1) <= allowed)
    }
}

fn compare(
    task: &Task,
    original: &Network,
    ground: Measured,
    index: usize,
    clock: &Clock,
) -> Result<Option<ChannelChoice>, Error> {
    let graph = original.graph();
    let grouping = Grouping::of(graph);
    let widths = task.candidate(index)?.configuration.widths();
    let measure = ground.1.measure();
    let value = |configuration: Configuration| -> Result<f64, Error> {
        let score = candidate::repaired(task, original, index, &configuration, Some(ground))?.score;
        Ok(score.and_then(|score| score.value()).unwrap_or(0.0))
    };

    let host = weights::to_host(graph, original.weights())?;
    let evidence = Evidence { graph, grouping: &grouping, weights: &host, on_samples: OnSamples::Nothing };
    let by_l1 = Importance::measure(&evidence, ImportanceSpec::plain(Criterion::L1));
    let l1 = value(Configuration::by_importance(&by_l1, &widths))?;
    let mut measured = 1;
    let own = if task.spec.importance == ImportanceSpec::plain(Criterion::L1) {
        l1
    } else if clock.has_time_after(measured) {
        measured += 1;
        value(Configuration::by_importance(&importance::order(task, graph, &grouping, &host)?, &widths))?
    } else {
        return Ok(None);
    };
    let mut generator = ChaCha8Rng::seed_from_u64(task.spec.seed);
    let mut random = Vec::new();
    while random.len() < ChannelChoice::DRAWS && clock.has_time_after(measured) {
        random.push(value(Configuration::random(&grouping, &widths, &mut generator))?);
        measured += 1;
    }
    let Some(random) = Spread::of(&random).filter(|spread| spread.n >= ChannelChoice::LEAST_DRAWS) else {
        return Ok(None);
    };
    task.messages.log(format!(
        "channels at the widths of candidate {index}: {} {l1:.4} by L1, {:.4} ± {:.4} at random",
        measure.as_str(),
        random.mean,
        random.std
    ));
    Ok(Some(ChannelChoice {
        candidate: index,
        measure,
        l1,
        own,
        own_criterion: task.spec.importance.criterion,
        l1_gap: l1 - random.mean,
        random,
    }))
}

//! Measuring until the table is good enough, or saying that it does not get so.
//!
//! Networks are timed in rounds, in which they take turns. Every run of a network stands beside one of the uncut network, and what
//! counts is its share of that one: a machine that is now fast and now slow, for milliseconds or for minutes, meets both alike, and a
//! reduction is a share too. Of all shares of a node the median counts, which a burst of other work does not move.
//!
//! First come networks of many widths, four rounds of them. The table that they give says which networks would remove the
//! target; [`PROBES`] of these are timed next, and belong to the table from then on. How far a table is off on probes that it had
//! not seen is what a job for this target has to expect ([`LatencyFit::target_error`]). While that is too much for the target,
//! more rounds of all networks follow, up to twelve; then the measurement is given up with these figures.

use super::fit::{Measured, Timing, fit};
use super::{LatencyFit, LatencyTable, NETWORKS, PROBES, Setting, sample};
use crate::configuration::Limits;
use crate::graph::Graph;
use crate::group::Grouping;
use crate::rejection::{Code, Rejection};

/// Rounds after which the table is looked at first.
const USUAL_ROUNDS: usize = 4;

/// Rounds after which a table that is not good enough is given up.
const MOST_ROUNDS: usize = 12;

/// How often a network is timed when the usual rounds are enough.
pub const USUAL_VISITS: usize = (NETWORKS - 1 + PROBES) * USUAL_ROUNDS;

/// The same when all rounds are needed.
pub const MOST_VISITS: usize = (NETWORKS - 1 + PROBES) * MOST_ROUNDS;

/// No round of networks that were timed twice begins after as many seconds.
const LONGEST_SECONDS: f64 = 60.0;

/// The relative error, in the mean, that a table may have on networks which the fit had not seen.
const ALLOWED_HELD_OUT: f64 = 0.06;

/// The target error that a table may have: a share of the target, and at least and at most so much of the uncut latency.
const SHARE_OF_TARGET: f64 = 0.2;
const ALLOWED_TARGET_ERROR: (f64, f64) = (0.01, 0.04);

/// Errors so many times too large are not waited for: more rounds lessen an error by the root of their number.
const HOPELESS: f64 = 2.5;

/// What one network takes in one round.
#[derive(Debug, Clone, PartialEq)]
pub struct Visit {
    /// Run, node: milliseconds.
    pub runs: Vec<Vec<f64>>,
    /// The same of the uncut network, a run beside each of those.
    pub base_runs: Vec<Vec<f64>>,
    /// Time of a whole pass over the sum of its nodes.
    pub whole_over_nodes: f64,
}

/// What times networks.
pub trait Stopwatch {
    /// What can go wrong.
    type Error;

    /// Times the network of these widths, one per group, beside the uncut one.
    ///
    /// # Errors
    /// The network does not run.
    fn time(&mut self, widths: &[usize]) -> Result<Visit, Self::Error>;

    /// Seconds since the measuring began.
    fn seconds(&self) -> f64;
}

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The uncut network's graph.
    pub graph: &'a Graph,
    /// Its groups.
    pub grouping: &'a Grouping,
    /// The widths that the job allows.
    pub limits: &'a Limits,
    /// The share of the latency that the job is to remove.
    pub target: f64,
    /// Chooses the widths that are timed.
    pub seed: u64,
}

/// Measures a table that is good enough for the target. Where the constraints do not allow the target, the table is that of the first
/// rounds, and its [`LatencyFit::target_error`] is zero.
///
/// # Errors
/// The stopwatch's; [`Code::WorkerTooNoisy`] with the figures when the table is still not good enough in the end.
pub fn measure<S: Stopwatch>(
    subject: Subject<'_>,
    setting: &Setting,
    stopwatch: &mut S,
) -> Result<LatencyTable, S::Error>
where
    S::Error: From<Rejection>,
{
    let mut record = Record::new(subject, setting.clone());
    record.usual_rounds(sample::widths(subject.limits, subject.seed).split_off(1), stopwatch)?;
    let survey = record.table();
    record.usual_rounds(sample::near(subject.limits, &survey, subject.target, subject.seed), stopwatch)?;
    record.probes = record.networks.len() - (survey.fit.networks as usize - 1);
    loop {
        let table = record.table();
        let excess = excess(&table.fit, subject.target);
        if excess <= 1.0 {
            return Ok(table);
        }
        if excess > HOPELESS || record.rounds >= MOST_ROUNDS || stopwatch.seconds() > LONGEST_SECONDS {
            return Err(too_noisy(&table.fit, subject.target, stopwatch.seconds()).into());
        }
        record.round(0, stopwatch)?;
        record.rounds += 1;
    }
}

/// What has been timed so far.
struct Record<'a> {
    subject: Subject<'a>,
    setting: Setting,
    /// Those besides the uncut one.
    networks: Vec<Timed>,
    /// How many of the networks, the last ones, are near the target.
    probes: usize,
    rounds: usize,
}

struct Timed {
    widths: Vec<usize>,
    visits: Vec<Visit>,
}

impl<'a> Record<'a> {
    fn new(subject: Subject<'a>, setting: Setting) -> Self {
        Self { subject, setting, networks: Vec::new(), probes: 0, rounds: 0 }
    }

    /// Times networks of further widths as often as is usual, or twice on a slow machine.
    fn usual_rounds<S: Stopwatch>(&mut self, widths: Vec<Vec<usize>>, stopwatch: &mut S) -> Result<(), S::Error> {
        let first = self.networks.len();
        self.networks.extend(widths.into_iter().map(|widths| Timed { widths, visits: Vec::new() }));
        for round in 0..USUAL_ROUNDS {
            if round >= 2 && stopwatch.seconds() > LONGEST_SECONDS {
                break;
            }
            self.round(first, stopwatch)?;
            self.rounds = self.rounds.max(round + 1);
        }
        Ok(())
    }

    /// Times every network from the `first` on once more.
    fn round<S: Stopwatch>(&mut self, first: usize, stopwatch: &mut S) -> Result<(), S::Error> {
        for network in &mut self.networks[first..] {
            network.visits.push(stopwatch.time(&network.widths)?);
        }
        Ok(())
    }

    fn table(&self) -> LatencyTable {
        let visits = || self.networks.iter().flat_map(|network| &network.visits);
        let timing = Timing {
            setting: self.setting.clone(),
            runs: self.networks[0].visits.iter().map(|visit| visit.runs.len()).sum::<usize>() as u32,
            whole_over_nodes: median(visits().map(|visit| visit.whole_over_nodes).collect()),
        };
        let base_ms = median(visits().flat_map(|visit| &visit.base_runs).map(|run| run.iter().sum()).collect());
        let of_network = |network: &Timed| Measured {
            widths: network.widths.clone(),
            node_ms: node_ms(&network.visits.iter().flat_map(beside).collect::<Vec<_>>(), base_ms),
        };
        let limits = self.subject.limits;
        let uncut = Measured {
            widths: (0..limits.groups()).filter_map(|group| limits.allowed(group).last().copied()).collect(),
            node_ms: node_ms(&visits().flat_map(base_beside).collect::<Vec<_>>(), base_ms),
        };
        let measured: Vec<Measured> = [uncut].into_iter().chain(self.networks.iter().map(of_network)).collect();
        let mut table = fit(self.subject.graph, self.subject.grouping, timing, &measured, self.probes);
        table.fit.rounds = self.rounds as u32;
        table
    }
}

/// A run's times of the nodes, and the time of the uncut network beside it.
type Beside<'a> = (&'a [f64], f64);

fn beside(visit: &Visit) -> impl Iterator<Item = Beside<'_>> {
    visit.runs.iter().zip(&visit.base_runs).map(|(run, base)| (run.as_slice(), base.iter().sum()))
}

/// Runs of the uncut network have the next one of the same visit beside them.
fn base_beside(visit: &Visit) -> impl Iterator<Item = Beside<'_>> {
    let next = visit.base_runs.iter().cycle().skip(1);
    visit.base_runs.iter().zip(next).map(|(run, base)| (run.as_slice(), base.iter().sum()))
}

/// Of every node the median of its shares of the uncut network beside it, in milliseconds of an uncut network of `base_ms`.
fn node_ms(runs: &[Beside<'_>], base_ms: f64) -> Vec<f64> {
    let nodes = runs.first().map_or(0, |(run, _)| run.len());
    let share = |node: usize| median(runs.iter().map(|(run, base)| run[node] / base).collect());
    (0..nodes).map(|node| base_ms * share(node)).collect()
}

/// The target error that a table may have.
fn allowed_target_error(target: f64) -> f64 {
    let (least, most) = ALLOWED_TARGET_ERROR;
    (SHARE_OF_TARGET * target).clamp(least, most)
}

/// The larger of both errors over what it may be; a table is good enough at one.
fn excess(fit: &LatencyFit, target: f64) -> f64 {
    (fit.held_out_error / ALLOWED_HELD_OUT).max(fit.target_error / allowed_target_error(target))
}

fn too_noisy(fit: &LatencyFit, target: f64, seconds: f64) -> Rejection {
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    Rejection::new(
        Code::WorkerTooNoisy,
        format!(
            "This worker is too noisy for `target.latency_reduction` {target}: after {} rounds in {seconds:.0} s the latency table is off \
             by {} on networks that it had not seen (at most {} is allowed), and for networks near the target by {} of the uncut \
             latency (at most {}).",
            fit.rounds,
            percent(fit.held_out_error),
            percent(ALLOWED_HELD_OUT),
            percent(fit.target_error),
            percent(allowed_target_error(target)),
        ),
    )
    .at("target.latency_reduction")
    .hint("Run the job on a worker that does nothing else, with fewer threads, or ask for a `flops_reduction`.")
}

/// The lower one of the two in the middle where there are two.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len().div_ceil(2).max(1) - 1]
}

#[cfg(test)]
mod tests;

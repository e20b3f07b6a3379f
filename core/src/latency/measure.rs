//! Measuring until the table is good enough, or saying that it does not get so.
//!
//! Networks are timed in rounds, each network a few times in every round. Every run of a network stands beside one of the uncut network,
//! and what counts is its share of that one: a machine that is now fast and now slow, for milliseconds or for minutes, meets both
//! alike, and a reduction is a share too. Of all shares of a node the median counts, which a burst of other work does not move. After
//! [`USUAL_ROUNDS`] the table says how far it is off ([`LatencyFit`]): on networks that the fit had not seen, from one half of the
//! rounds to the other, and on the uncut network, from which all reductions are counted. If that is too much for the target, more
//! rounds follow, up to [`MOST_ROUNDS`]; then the measurement is given up with these figures.

use super::fit::{Measured, Timing, fit};
use super::{LatencyFit, LatencyTable, Setting};
use crate::graph::Graph;
use crate::group::Grouping;
use crate::rejection::{Code, Rejection};

/// Rounds after which the table is looked at first.
pub const USUAL_ROUNDS: usize = 6;

/// Rounds after which a table that is not good enough is given up.
pub const MOST_ROUNDS: usize = 18;

/// No round begins after as many seconds, once there are two.
pub(super) const LONGEST_SECONDS: f64 = 80.0;

/// The relative error, in the mean, that a table may have on networks which the fit had not seen.
pub(super) const ALLOWED_HELD_OUT: f64 = 0.06;

/// How far the reductions that the tables of both halves of the rounds predict may differ, in the mean.
pub(super) const ALLOWED_REPEAT: f64 = 0.04;

/// How much slower, relatively, a network may have been measured than another one that is at least as wide everywhere.
pub(super) const ALLOWED_DISORDER: f64 = 0.2;

/// How far the table may be off on the uncut network, as a share of the target, and how far in any case.
const SHARE_OF_TARGET: f64 = 0.25;
const ALLOWED_BASE: f64 = 0.03;

/// The times of one network in one round.
#[derive(Debug, Clone, PartialEq)]
pub struct Round {
    /// Run, node: milliseconds.
    pub runs: Vec<Vec<f64>>,
    /// Milliseconds of all nodes of the uncut network, beside each run.
    pub base_runs: Vec<f64>,
    /// Time of a whole pass over the sum of its nodes.
    pub whole_over_nodes: f64,
}

/// What times networks.
pub trait Stopwatch {
    /// What can go wrong.
    type Error;

    /// Times a network, by its place in the list of widths.
    ///
    /// # Errors
    /// The network does not run.
    fn time(&mut self, network: usize) -> Result<Round, Self::Error>;

    /// Seconds since the measuring began.
    fn seconds(&self) -> f64;
}

/// What is measured: networks of these widths, the uncut one first.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The uncut network's graph.
    pub graph: &'a Graph,
    /// Its groups.
    pub grouping: &'a Grouping,
    /// Network, group.
    pub widths: &'a [Vec<usize>],
    /// The share of the latency that the job is to remove.
    pub target: f64,
}

/// Measures a table that is good enough for the target.
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
    let mut rounds: Vec<Vec<Round>> = Vec::new();
    loop {
        rounds.push((0..subject.widths.len()).map(|network| stopwatch.time(network)).collect::<Result<_, _>>()?);
        let is_late = rounds.len() >= 2 && stopwatch.seconds() > LONGEST_SECONDS;
        if rounds.len() < USUAL_ROUNDS && !is_late {
            continue;
        }
        let table = table(subject, setting, &rounds);
        if is_good_enough(&table.fit, subject.target) {
            return Ok(table);
        }
        if rounds.len() >= MOST_ROUNDS || is_late {
            return Err(too_noisy(&table.fit, subject.target, stopwatch.seconds()).into());
        }
    }
}

/// The table of all rounds, with its error.
fn table(subject: Subject<'_>, setting: &Setting, rounds: &[Vec<Round>]) -> LatencyTable {
    let of_half = |parity| {
        let half: Vec<&Vec<Round>> = rounds.iter().skip(parity).step_by(2).collect();
        fitted(subject, setting, &half).0
    };
    let (mut table, all) = fitted(subject, setting, &rounds.iter().collect::<Vec<_>>());
    table.fit.rounds = rounds.len() as u32;
    table.fit.repeat_error = repeat_error(&of_half(0), &of_half(1), subject.widths);
    table.fit.disorder = disorder(&all);
    table
}

/// The table of some rounds, and the times that it was fitted to.
fn fitted(subject: Subject<'_>, setting: &Setting, rounds: &[&Vec<Round>]) -> (LatencyTable, Vec<Measured>) {
    let all = measured(subject.widths, rounds);
    let ratios = rounds.iter().flat_map(|round| round.iter().map(|network| network.whole_over_nodes)).collect();
    let runs = rounds.iter().map(|round| round.first().map_or(0, |network| network.runs.len())).sum::<usize>() as u32;
    let timing = Timing { setting: setting.clone(), runs, whole_over_nodes: quantile(ratios, 0.5) };
    (fit(subject.graph, subject.grouping, timing, &all), all)
}

/// Every network's times: of each node the median of its shares of the uncut network beside it, in milliseconds of a median uncut
/// network.
fn measured(widths: &[Vec<usize>], rounds: &[&Vec<Round>]) -> Vec<Measured> {
    let base_runs = rounds.iter().flat_map(|round| round.iter().flat_map(|network| network.base_runs.iter().copied()));
    let base_ms = quantile(base_runs.collect(), 0.5);
    let of_network = |(network, widths): (usize, &Vec<usize>)| {
        let rounds = rounds.iter().map(|round| &round[network]);
        let pairs: Vec<(&Vec<f64>, f64)> =
            rounds.flat_map(|round| round.runs.iter().zip(round.base_runs.iter().copied())).collect();
        let nodes = pairs.first().map_or(0, |(run, _)| run.len());
        let share = |node: usize| quantile(pairs.iter().map(|(run, base)| run[node] / base).collect(), 0.5);
        Measured { widths: widths.clone(), node_ms: (0..nodes).map(|node| base_ms * share(node)).collect() }
    };
    widths.iter().enumerate().map(of_network).collect()
}

/// How far two tables of the same networks differ in the share that they say is removed, mean over the networks. What all times have
/// in common, such as another clock rate, makes no difference to a share.
fn repeat_error(first: &LatencyTable, second: &LatencyTable, widths: &[Vec<usize>]) -> f64 {
    let kept = |table: &LatencyTable, widths: &[usize]| table.at(widths) / table.base_ms;
    let differences = widths.iter().map(|widths| (kept(first, widths) - kept(second, widths)).abs());
    differences.sum::<f64>() / widths.len().max(1) as f64
}

/// How much slower a network was measured than one that is at least as wide in every group, at worst; 0 when none was.
fn disorder(measured: &[Measured]) -> f64 {
    let mut worst: f64 = 0.0;
    for narrow in measured {
        for wide in measured {
            if narrow.widths.iter().zip(&wide.widths).all(|(narrow, wide)| narrow <= wide) {
                worst = worst.max(narrow.sum() / wide.sum() - 1.0);
            }
        }
    }
    worst
}

/// How much less than measured the table may say of the uncut network: what is missing there would be taken for removed.
fn allowed_base_error(target: f64) -> f64 {
    (SHARE_OF_TARGET * target).max(ALLOWED_BASE)
}

fn is_good_enough(fit: &LatencyFit, target: f64) -> bool {
    fit.held_out_error <= ALLOWED_HELD_OUT
        && fit.repeat_error <= ALLOWED_REPEAT
        && fit.disorder <= ALLOWED_DISORDER
        && fit.base_error >= -allowed_base_error(target)
}

fn too_noisy(fit: &LatencyFit, target: f64, seconds: f64) -> Rejection {
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    Rejection::new(
        Code::WorkerTooNoisy,
        format!(
            "This worker is too noisy for a latency target: after {} rounds in {seconds:.0} s the latency table is off by {} on \
             networks that it had not seen (at most {} is allowed), the reductions that each half of the rounds predicts differ by {} ({}), a narrower \
             network was measured slower by {} at worst ({}), and the table is off by {} on the uncut network (at least {}).",
            fit.rounds,
            percent(fit.held_out_error),
            percent(ALLOWED_HELD_OUT),
            percent(fit.repeat_error),
            percent(ALLOWED_REPEAT),
            percent(fit.disorder),
            percent(ALLOWED_DISORDER),
            percent(fit.base_error),
            percent(-allowed_base_error(target)),
        ),
    )
    .at("target.latency_reduction")
    .hint("Run the job on a worker that does nothing else, with fewer threads, or ask for a `flops_reduction`.")
}

/// The nearest-rank quantile of some values.
fn quantile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let rank = (share * values.len() as f64).ceil() as usize;
    values[rank.clamp(1, values.len()) - 1]
}

#[cfg(test)]
mod tests;

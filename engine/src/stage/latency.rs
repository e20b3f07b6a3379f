//! The latency table of the network on this device: batch 1, no gradients, evaluation mode, the interpreter's own clock.
//!
//! [`secateur_core::latency::measure`] says which network is timed when, and whether the table is good enough; this is its stopwatch. A
//! network is cut anew in every round, so memory holds one beside the original. A whole pass beside one that is timed node by node
//! says what the clock between nodes costs; on a GPU, whose queue is emptied after every node, that is much.

use std::time::Instant;

use secateur_core::configuration::{Configuration, Limits};
use secateur_core::group::Grouping;
use secateur_core::latency::{MOST_VISITS, Setting, Stopwatch, Subject, USUAL_VISITS, Visit, measure};
use secateur_core::method;
use secateur_core::stage::latency::LatencyResult;
use tch::{Device, Tensor};

use super::task::Task;
use crate::error::Error;
use crate::measure::latency::{device_name, timed};
use crate::network::{Network, cut, random_inputs};
use crate::process::messages::Counter;

const BATCH: i64 = 1;
const WARM_UP: usize = 2;
/// Passes of one network in one round, and of the uncut one beside it.
const RUNS: usize = 4;

/// Measures the latency table.
///
/// # Errors
/// The worker is too noisy, or the target cannot be reached.
pub(super) fn run(task: &Task, _work: &()) -> Result<LatencyResult, Error> {
    let original = task.original()?;
    let graph = original.graph();
    let grouping = Grouping::of(graph);
    let limits = Limits::new(graph, &grouping, &task.spec.constraints)?;
    let setting = Setting { batch: BATCH as u32, threads: task.threads as u32, device: device_name(task.device) };
    let mut clock = Clock {
        original: &original,
        grouping: &grouping,
        inputs: random_inputs(graph, BATCH, task.spec.seed as i64, task.device)?,
        device: task.device,
        started: Instant::now(),
        timed: 0,
        progress: task.messages.count(USUAL_VISITS as u64, "networks"),
    };
    let target = task.spec.target.reduction.get();
    let subject = Subject { graph, grouping: &grouping, limits: &limits, target, seed: task.spec.seed };
    let table = measure(subject, &setting, &mut clock)?;
    let fit = &table.fit;
    task.messages.log(format!(
        "latency at batch {BATCH} on {}: {:.3} ms, {} networks timed {} times each in {} rounds; the table explains {:.4} of the \
         variance, is off by {:.1} % in the mean and by {:.1} % at worst on networks that it had not seen, and by {:.1} % of the uncut \
         latency on those near the target",
        table.setting.device,
        table.base_ms,
        fit.networks,
        fit.runs,
        fit.rounds,
        fit.r2,
        fit.held_out_error * 100.0,
        fit.held_out_worst * 100.0,
        fit.target_error * 100.0
    ));
    let costs = table.costs(graph, &grouping);
    let reachable = method::check_reachable(graph, &grouping, &costs, task.spec)?;
    Ok(LatencyResult { table: Box::new(table), reachable })
}

/// Times networks on this device.
struct Clock<'a> {
    original: &'a Network,
    grouping: &'a Grouping,
    inputs: Vec<Tensor>,
    device: Device,
    started: Instant,
    /// Networks that were timed, over all rounds.
    timed: usize,
    progress: Counter<'a>,
}

impl Stopwatch for Clock<'_> {
    type Error = Error;

    fn time(&mut self, widths: &[usize]) -> Result<Visit, Error> {
        let network = narrowed(self.original, self.grouping, widths)?;
        for _ in 0..WARM_UP {
            self.original.evaluate(&self.inputs)?;
            network.evaluate(&self.inputs)?;
        }
        let (mut runs, mut base_runs) = (Vec::with_capacity(RUNS), Vec::with_capacity(RUNS));
        for _ in 0..RUNS {
            base_runs.push(node_ms(self.original, &self.inputs)?);
            runs.push(node_ms(&network, &self.inputs)?);
        }
        let whole = timed(&mut || network.evaluate(&self.inputs).map(drop), self.device)?;
        let of_nodes: f64 = runs.last().map_or(0.0, |run| run.iter().sum());
        self.timed += 1;
        self.count();
        Ok(Visit { runs, base_runs, whole_over_nodes: whole / of_nodes })
    }

    fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }
}

impl Clock<'_> {
    /// More rounds than usual are announced once they begin.
    fn count(&mut self) {
        if self.timed > USUAL_VISITS {
            self.progress.grow(MOST_VISITS as u64);
        }
        self.progress.reach(self.timed as u64);
    }
}

fn node_ms(network: &Network, inputs: &[Tensor]) -> Result<Vec<f64>, Error> {
    Ok(network.node_seconds(inputs)?.into_iter().map(|seconds| seconds * 1e3).collect())
}

/// The network with the first channels of every group. Which they are does not change how long it takes.
fn narrowed(original: &Network, grouping: &Grouping, widths: &[usize]) -> Result<Network, Error> {
    let keep = widths.iter().map(|&width| (0..width as u32).collect()).collect();
    Ok(cut::network(original, grouping, &Configuration { keep })?.1)
}

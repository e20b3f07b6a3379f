//! The latency table of the network on this device: batch 1, no gradients, evaluation mode, the interpreter's own clock.
//!
//! Networks of different widths take turns: each round times every one of them, so that what else the machine does meets all
//! alike. A network is cut anew in every round, so memory holds one beside the original. Of a node's times the lower decile
//! counts (see [`secateur_core::latency`]). A whole pass beside one that is timed node by node says what the clock between
//! nodes costs; on a GPU, whose queue is emptied after every node, that is much.

use std::time::{Duration, Instant};

use secateur_core::configuration::{Configuration, Limits};
use secateur_core::group::Grouping;
use secateur_core::latency::{self, LatencyTable, Measured, Setting, Timing};
use secateur_core::method;
use secateur_core::stage::latency::LatencyResult;
use tch::Tensor;

use super::task::Task;
use crate::error::Error;
use crate::measure::latency::{device_name, percentile, timed};
use crate::network::{Network, cut, random_inputs};

const BATCH: i64 = 1;
const WARM_UP: usize = 2;
/// Passes of one network in one round.
const RUNS: usize = 8;
const ROUNDS: usize = 6;
/// No round begins after this.
const TIME: Duration = Duration::from_secs(40);

/// Measures the latency table.
///
/// # Errors
/// The target cannot be reached.
pub fn run(task: &Task, _work: &()) -> Result<LatencyResult, Error> {
    let original = task.original()?;
    let grouping = Grouping::of(original.graph());
    let limits = Limits::new(original.graph(), &grouping, &task.spec.constraints)?;
    let widths = latency::widths(&limits, task.spec.seed);
    let table = measure(task, &original, &grouping, &widths)?;
    task.messages.log(format!(
        "latency at batch {BATCH} on {}: {:.3} ms, {} networks timed {} times each; the table explains {:.4} of the variance, \
         and on networks that it had not seen it is off by {:.1} % in the mean and by {:.1} % at worst",
        table.setting.device,
        table.base_ms,
        table.fit.networks,
        table.fit.runs,
        table.fit.r2,
        table.fit.held_out_error * 100.0,
        table.fit.held_out_worst * 100.0
    ));
    let costs = table.costs(original.graph(), &grouping);
    let reachable = method::check_reachable(original.graph(), &grouping, &costs, task.spec)?;
    Ok(LatencyResult { table: Box::new(table), reachable })
}

fn measure(task: &Task, original: &Network, grouping: &Grouping, widths: &[Vec<usize>]) -> Result<LatencyTable, Error> {
    let inputs = random_inputs(original.graph(), BATCH, task.spec.seed as i64, task.device)?;
    let mut networks: Vec<Times> = widths.iter().map(|_| Times::default()).collect();
    let mut progress = task.messages.count((ROUNDS * widths.len()) as u64, "networks");
    let started = Instant::now();
    let mut rounds = 0;
    while rounds < ROUNDS && (rounds == 0 || started.elapsed() < TIME) {
        for (widths, times) in widths.iter().zip(&mut networks) {
            let network = narrowed(original, grouping, widths)?;
            times.add(task, &network, &inputs)?;
            progress.advance();
        }
        rounds += 1;
    }
    let ratios = networks.iter().flat_map(|times| times.whole_over_nodes.iter().copied()).collect();
    let timing = Timing {
        setting: Setting { batch: BATCH as u32, threads: task.threads as u32, device: device_name(task.device) },
        runs: (rounds * RUNS) as u32,
        whole_over_nodes: quantile(ratios, 0.5),
    };
    let measured: Vec<Measured> = widths
        .iter()
        .zip(networks)
        .map(|(widths, times)| Measured {
            widths: widths.clone(),
            node_ms: times.nodes.into_iter().map(|times| quantile(times, 0.1)).collect(),
        })
        .collect();
    Ok(latency::fit(original.graph(), grouping, timing, &measured))
}

/// The network with the first channels of every group. Which they are does not change how long it takes.
fn narrowed(original: &Network, grouping: &Grouping, widths: &[usize]) -> Result<Network, Error> {
    let keep = widths.iter().map(|&width| (0..width as u32).collect()).collect();
    cut::network(original, grouping, &Configuration { keep })
}

/// What was measured of one network, run by run.
#[derive(Default)]
struct Times {
    /// Node, run; milliseconds.
    nodes: Vec<Vec<f64>>,
    whole_over_nodes: Vec<f64>,
}

impl Times {
    fn add(&mut self, task: &Task, network: &Network, inputs: &[Tensor]) -> Result<(), Error> {
        for _ in 0..WARM_UP {
            network.evaluate(inputs)?;
        }
        self.nodes.resize(network.graph().nodes().len(), Vec::new());
        let mut sum = 0.0;
        for _ in 0..RUNS {
            let milliseconds: Vec<f64> =
                network.node_seconds(inputs)?.into_iter().map(|seconds| seconds * 1e3).collect();
            sum = milliseconds.iter().sum();
            for (times, milliseconds) in self.nodes.iter_mut().zip(milliseconds) {
                times.push(milliseconds);
            }
        }
        let whole = timed(&mut || network.evaluate(inputs).map(drop), task.device)?;
        self.whole_over_nodes.push(whole / sum);
        Ok(())
    }
}

fn quantile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    percentile(&values, share)
}

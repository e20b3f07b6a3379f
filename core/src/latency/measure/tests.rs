use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::configuration::{Constraints, Limits};
use crate::cost::CostModel;
use crate::latency::{USUAL_ROUNDS, widths};
use crate::testing::Net;

/// A chain whose nodes take 0.01 ms and 0.1 ns per multiply-accumulate.
struct Machine {
    graph: Graph,
    grouping: Grouping,
    widths: Vec<Vec<usize>>,
}

impl Machine {
    fn new() -> Self {
        let mut net = Net::new(&[3, 16, 16]);
        net.conv("a", 32, 3, 1).conv("b", 48, 3, 1).conv("c", 32, 3, 1).conv("d", 24, 1, 1).mean(&[2, 3], false);
        net.linear("head", 10);
        let graph = net.graph();
        let grouping = Grouping::of(&graph);
        let limits = Limits::new(&graph, &grouping, &Constraints::default()).unwrap();
        let widths = widths(&limits, 1);
        Self { graph, grouping, widths }
    }

    fn true_ms(&self, widths: &[usize]) -> Vec<f64> {
        let macs = CostModel::of(&self.graph, &self.grouping).macs_by_node(widths);
        let of_node = |node| 0.01 + 1e-7 * macs.get(&node).copied().unwrap_or(0) as f64;
        (0..self.graph.nodes().len()).map(of_node).collect()
    }

    fn true_reduction(&self, widths: &[usize]) -> f64 {
        let sum = |widths: &[usize]| self.true_ms(widths).iter().sum::<f64>();
        1.0 - sum(widths) / sum(&self.widths[0])
    }

    fn measure(&self, seed: u64, noise: fn(&mut ChaCha8Rng) -> Noise) -> Result<LatencyTable, Rejection> {
        let mut stopwatch = MadeUp { machine: self, random: ChaCha8Rng::seed_from_u64(seed), noise };
        let setting = Setting { batch: 1, threads: 1, device: "cpu".to_owned() };
        let subject = Subject { graph: &self.graph, grouping: &self.grouping, widths: &self.widths, target: 0.2 };
        measure(subject, &setting, &mut stopwatch)
    }

    /// Mean difference between the reductions that a table predicts and the true ones.
    fn error(&self, table: &LatencyTable) -> f64 {
        let error = |widths: &Vec<usize>| (1.0 - table.at(widths) / table.base_ms - self.true_reduction(widths)).abs();
        self.widths.iter().map(error).sum::<f64>() / self.widths.len() as f64
    }
}

/// What a visit of one network meets, and each node of each run.
struct Noise {
    /// Of all times of the visit.
    factor: f64,
    of_node: fn(&mut ChaCha8Rng) -> f64,
}

struct MadeUp<'a> {
    machine: &'a Machine,
    random: ChaCha8Rng,
    noise: fn(&mut ChaCha8Rng) -> Noise,
}

impl Stopwatch for MadeUp<'_> {
    type Error = Rejection;

    fn time(&mut self, network: usize) -> Result<Round, Rejection> {
        let Noise { factor, of_node } = (self.noise)(&mut self.random);
        let mut run = |widths: &[usize]| -> Vec<f64> {
            self.machine.true_ms(widths).iter().map(|ms| ms * factor * of_node(&mut self.random)).collect()
        };
        let base_runs = (0..4).map(|_| run(&self.machine.widths[0]).iter().sum()).collect();
        let runs = (0..4).map(|_| run(&self.machine.widths[network])).collect();
        Ok(Round { runs, base_runs, whole_over_nodes: 1.0 })
    }

    fn seconds(&self) -> f64 {
        0.0
    }
}

fn uniform(random: &mut impl Rng) -> f64 {
    random.random()
}

#[test]
fn a_quiet_machine_is_measured_in_the_usual_rounds() {
    let machine = Machine::new();
    let table = machine.measure(1, |_| Noise { factor: 1.0, of_node: |random| 1.0 + 0.02 * uniform(random) }).unwrap();
    assert_eq!(table.fit.rounds as usize, USUAL_ROUNDS);
    assert!(machine.error(&table) < 0.01, "{:?}", table.fit);
}

#[test]
fn a_machine_that_is_now_fast_and_now_slow_is_measured_as_well() {
    let machine = Machine::new();
    for seed in 0..10 {
        let visit = |random: &mut ChaCha8Rng| Noise { factor: 1.0 + 3.0 * uniform(random), of_node: |_| 1.0 };
        let table = machine.measure(seed, visit).unwrap();
        assert_eq!(table.fit.rounds as usize, USUAL_ROUNDS);
        assert!(machine.error(&table) < 0.005, "{seed}: {:?}", table.fit);
    }
}

/// One node of four takes up to five times as long, as under other work on the same cores.
fn bursts(random: &mut ChaCha8Rng) -> f64 {
    if uniform(random) < 0.25 { 1.0 + 4.0 * uniform(random) } else { 1.0 + 0.1 * uniform(random) }
}

/// Every node takes some power of ten longer.
fn chaos(random: &mut ChaCha8Rng) -> f64 {
    10f64.powf(1.5 * uniform(random))
}

#[test]
fn noise_that_averages_out_is_measured_on_until_it_has() {
    let machine = Machine::new();
    let fluctuating = |_: &mut ChaCha8Rng| Noise { factor: 1.0, of_node: |random| 0.5 + uniform(random) };
    let rounds: Vec<usize> = (0..20)
        .filter_map(|seed| machine.measure(seed, fluctuating).ok())
        .map(|table| {
            assert!(machine.error(&table) < 0.06, "{:?}", table.fit);
            table.fit.rounds as usize
        })
        .collect();
    assert!(rounds.len() >= 10, "{} of 20 are measured in the end", rounds.len());
    assert!(rounds.iter().any(|&rounds| rounds > USUAL_ROUNDS), "{rounds:?}");
}

#[test]
fn a_table_that_is_accepted_predicts_what_is_true_whatever_the_noise() {
    let machine = Machine::new();
    let mut accepted = 0;
    for seed in 0..40 {
        let noisy = [
            machine.measure(seed, |_| Noise { factor: 1.0, of_node: bursts }),
            machine.measure(seed, |_| Noise { factor: 1.0, of_node: chaos }),
        ];
        for table in noisy.into_iter().flatten() {
            accepted += 1;
            assert!(machine.error(&table) < 0.06, "{seed}: {:?} is off by {}", table.fit, machine.error(&table));
        }
    }
    assert!(accepted > 0, "bursts are overcome now and then");
}

#[test]
fn a_machine_without_any_order_is_refused_with_the_figures() {
    let machine = Machine::new();
    let refused = (0..10).filter_map(|seed| machine.measure(seed, |_| Noise { factor: 1.0, of_node: chaos }).err());
    let refused: Vec<Rejection> = refused.collect();
    assert!(refused.len() >= 8, "{} of 10", refused.len());
    for rejection in refused {
        assert_eq!(rejection.code, Code::WorkerTooNoisy);
        assert!(rejection.detail.contains("after 18 rounds"), "{}", rejection.detail);
    }
}

//! Throughput and memory of the SACP search, sampling and costs included.
//!
//! `cargo bench -p secateur-core --features testing --bench search -- [NETWORK [CANDIDATES [THREADS [REFINE [RANKING]]]]]`, network `resnet18`
//! or `resnet56`, ranking `similarity` (a random encoder) or `sensitivity` (random sensitivities); REFINE evolutionary moves follow the
//! CANDIDATES.
//! `make bench-search` runs it beside the dense PyTorch form of the same encoder and prints the ratio.

mod resnet;

use std::time::Instant;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use secateur_core::configuration::{Constraints, Limits};
use secateur_core::cost::{CostModel, Metric};
use secateur_core::group::Grouping;
use secateur_core::search::encoder::Encoder;
use secateur_core::search::layer::LayerGraph;
use secateur_core::search::proposal::least_distance;
use secateur_core::search::ranking::Ranking;
use secateur_core::search::ranking::sensitivity::SensitivitySum;
use secateur_core::search::ranking::similarity::Scorer;
use secateur_core::search::space::{Band, Space};
use secateur_core::search::walk::{WalkPlan, run};
use secateur_core::search::{SearchState, refine};

const HIDDEN: usize = 64;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let network = arguments.first().map_or("resnet56", String::as_str);
    let candidates = arguments.get(1).map_or(5_000_000, |count| count.parse().expect("CANDIDATES is a number"));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = arguments.get(2).map_or(cores, |count| count.parse().expect("THREADS is a number"));
    let refine: u64 = arguments.get(3).map_or(0, |count| count.parse().expect("REFINE is a number"));
    let ranking = arguments.get(4).map_or("similarity", String::as_str);
    let net = resnet::named(network);

    let graph = net.graph();
    let grouping = Grouping::of(&graph);
    let costs = CostModel::of(&graph, &grouping);
    let limits = Limits::new(&graph, &grouping, &Constraints::default()).expect("the network has groups");
    let space = Space::new(&costs, &limits, Metric::Flops, 0.1);
    let layers = LayerGraph::of(&graph, &grouping);
    let mut random = ChaCha8Rng::seed_from_u64(0);
    let mut draw = |count: usize| (0..count).map(|_| random.random::<f32>() - 0.5).collect();
    let encoder =
        Encoder { hidden: HIDDEN, w1: draw(layers.max_channels() * HIDDEN), w2: draw(HIDDEN * HIDDEN), head: None };

    let start = Instant::now();
    let scorer = Scorer::new(&layers, &space, &encoder);
    let tables = start.elapsed();
    let additive = random_sensitivities(&space);
    let before = peak_kib();
    let start = Instant::now();
    let walk = WalkPlan { seed: 0, candidates, top: 150, threads };
    let (best, scored) = match ranking {
        "similarity" => search(&walk, refine, &space, &scorer),
        "sensitivity" => search(&walk, refine, &space, &additive),
        other => panic!("unknown ranking {other}: similarity or sensitivity"),
    };
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{{\"network\": \"{network}\", \"layers\": {}, \"groups\": {}, \"c_max\": {}, \"candidates\": {scored}, \"refine\": {refine}, \"ranking\": \"{ranking}\", \"threads\": {threads}, \
         \"seconds\": {seconds:.3}, \"candidates_per_s\": {:.0}, \"tables_s\": {:.3}, \"peak_mib_before\": {:.1}, \"peak_mib\": {:.1}, \"best\": {:.6}}}",
        layers.len(),
        grouping.groups().len(),
        layers.max_channels(),
        (scored + refine) as f64 / seconds,
        tables.as_secs_f64(),
        before as f64 / 1024.0,
        peak_kib() as f64 / 1024.0,
        best,
    );
}

/// The best score of both phases, and how many draws of the walk were in the band.
fn search(walk: &WalkPlan, refine: u64, space: &Space<'_>, ranking: &impl Ranking) -> (f32, u64) {
    let band = Band { low: 0.7, high: 0.71 };
    let moves = refine::RefinementPlan {
        seed: walk.seed,
        candidates: refine,
        population: walk.top,
        distance: least_distance(space.groups()),
        threads: walk.threads,
    };
    let walked = run(walk, space, band, ranking, SearchState::default(), 64, &mut |_| {});
    let found = refine::run(&moves, space, band, ranking, walked, &mut |_| {});
    (found.best.first().map_or(f32::NAN, |best| best.score), found.scored)
}

/// Penalties that rise with the square of the share cut, some groups up to ten times as sensitive as others.
fn random_sensitivities(space: &Space<'_>) -> SensitivitySum {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let penalties = (0..space.groups()).map(|group| {
        let full = *space.widths(group).last().expect("every group has a level") as f32;
        let weight = 10f32.powf(-random.random::<f32>());
        space.widths(group).iter().map(|&width| weight * (1.0 - width as f32 / full).powi(2)).collect()
    });
    SensitivitySum::new(penalties.collect())
}

/// Peak resident memory of this process.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    line.and_then(|line| line.split_whitespace().nth(1)).and_then(|kib| kib.parse().ok()).unwrap_or(0)
}

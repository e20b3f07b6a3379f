//! Throughput of the SACP search by similarity, scored by the processor and by a GPU, sampling and costs included.
//!
//! `cargo bench -p secateur-engine --bench search_device -- [NETWORK [CANDIDATES [DEVICE]]]`, network `resnet18` or `resnet56`; DEVICE is
//! `cpu`, `cuda` or `auto`, and runs the tensor form. Exits with an error when the two rankings differ.

mod resnet;

use std::time::Instant;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use secateur_core::configuration::{Constraints, Limits};
use secateur_core::cost::{CostModel, Metric};
use secateur_core::group::Grouping;
use secateur_core::search::SearchState;
use secateur_core::search::device::{self, Accelerator};
use secateur_core::search::encoder::Encoder;
use secateur_core::search::layer::LayerGraph;
use secateur_core::search::ranking::similarity::Scorer;
use secateur_core::search::space::{Band, Space};
use secateur_core::search::walk::{WalkPlan, run};
use secateur_core::wire::Device;
use secateur_engine::encoder::scoring::OnDevice;
use secateur_engine::torch::runtime;

const HIDDEN: usize = 64;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let network = arguments.first().map_or("resnet56", String::as_str);
    let candidates = arguments.get(1).map_or(5_000_000, |count| count.parse().expect("CANDIDATES is a number"));
    let wanted = match arguments.get(2).map_or("auto", String::as_str) {
        "cpu" => Device::Cpu,
        "cuda" => Device::Cuda,
        "auto" => Device::Auto,
        other => panic!("unknown device {other}: cpu, cuda or auto"),
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let on_device = OnDevice(runtime::initialise(threads, wanted).expect("libtorch starts on this device"));

    let graph = resnet::named(network).graph();
    let grouping = Grouping::of(&graph);
    let costs = CostModel::of(&graph, &grouping);
    let limits = Limits::new(&graph, &grouping, &Constraints::default()).expect("the network has groups");
    let space = Space::new(&costs, &limits, Metric::Flops, 0.1);
    let layers = LayerGraph::of(&graph, &grouping);
    let mut random = ChaCha8Rng::seed_from_u64(0);
    let mut draw = |count: usize| (0..count).map(|_| random.random::<f32>() - 0.5).collect();
    let encoder =
        Encoder { hidden: HIDDEN, w1: draw(layers.max_channels() * HIDDEN), w2: draw(HIDDEN * HIDDEN), head: None };
    let scorer = Scorer::new(&layers, &space, &encoder);
    let tables = on_device.load(&scorer).expect("the tables fit");
    let plan = WalkPlan { seed: 0, candidates, top: 150, threads };
    let band = Band { low: 0.7, high: 0.71 };

    // The first batch pays for the start of the device.
    let first = WalkPlan { candidates: 1, ..plan };
    device::run(&first, &space, band, &scorer, &tables, SearchState::default(), 64, &mut |_| {})
        .expect("the device scores");
    let report = |name: &str, scored: u64, seconds: f64| {
        println!("{network} on {name}, {threads} threads: {:.0} candidates/s", scored as f64 / seconds);
    };
    let started = Instant::now();
    let plain = run(&plan, &space, band, &scorer, SearchState::default(), 64, &mut |_| {});
    report("the processor", plain.scored, started.elapsed().as_secs_f64());
    let started = Instant::now();
    let found = device::run(&plan, &space, band, &scorer, &tables, SearchState::default(), 64, &mut |_| {});
    let seconds = started.elapsed().as_secs_f64();
    let found = found.expect("the device scores");
    report(&format!("tensors, {}", on_device.name()), found.scored, seconds);
    assert_eq!(found, plain, "both give the same ranking");
}

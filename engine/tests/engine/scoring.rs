//! The search scored in tensors gives the ranking of the plain search, to the last bit.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use secateur_core::configuration::{Constraints, Limits};
use secateur_core::cost::{CostModel, Metric};
use secateur_core::graph::Graph;
use secateur_core::group::Grouping;
use secateur_core::search::SearchState;
use secateur_core::search::device::{self, Accelerator, Bounds};
use secateur_core::search::encoder::{Encoder, Head};
use secateur_core::search::layer::LayerGraph;
use secateur_core::search::ranking::Ranking;
use secateur_core::search::ranking::similarity::Scorer;
use secateur_core::search::space::{Band, Space};
use secateur_core::search::walk::{BLOCK, WalkPlan, run};
use secateur_core::testing::Net;
use secateur_core::wire;
use secateur_engine::encoder::scoring::OnDevice;
use secateur_engine::torch::{self, runtime};
use tch::Device;

use crate::job::example;

/// By cosine and by the prediction of a head.
fn check_that_rankings_agree(graph: &Graph, hidden: usize, seed: u64, device: Device) {
    let mut random = ChaCha8Rng::seed_from_u64(!seed);
    let weights = (0..hidden).map(|_| random.random::<f32>() - 0.5).collect();
    for head in [None, Some(Head { weights, bias: 0.5 })] {
        check_that_these_agree(graph, hidden, seed, head, device);
    }
}

fn check_that_these_agree(graph: &Graph, hidden: usize, seed: u64, head: Option<Head>, device: Device) {
    let grouping = Grouping::of(graph);
    let costs = CostModel::of(graph, &grouping);
    let limits = Limits::new(graph, &grouping, &Constraints::default()).unwrap();
    let space = Space::new(&costs, &limits, Metric::Flops, 0.1);
    let layers = LayerGraph::of(graph, &grouping);
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut draw = |count: usize| (0..count).map(|_| random.random::<f32>() - 0.5).collect();
    let encoder = Encoder { hidden, w1: draw(layers.max_channels() * hidden), w2: draw(hidden * hidden), head };
    let scorer = Scorer::new(&layers, &space, &encoder);
    let tables = OnDevice(device).load(&scorer).unwrap();

    let band = Band { low: 0.5, high: 0.53 };
    let plan = WalkPlan { seed, candidates: 3 * BLOCK, top: 60, threads: 2 };
    let plain = run(&plan, &space, band, &scorer, SearchState::default(), 2, &mut |_| {});
    assert!(!plain.best.is_empty(), "the band holds candidates");
    let in_tensors = device::run(&plan, &space, band, &scorer, &tables, SearchState::default(), 2, &mut |_| {});
    assert_eq!(in_tensors.unwrap(), plain);

    let levels: Vec<u8> = plain.best.iter().flat_map(|scored| scored.levels.iter().copied()).collect();
    for (scored, bound) in plain.best.iter().zip(tables.at_most(&levels).unwrap()) {
        let slack = scorer.slack(&scorer.state(&scored.levels));
        assert!(
            bound >= scored.score && bound <= scored.score + 2.1 * slack,
            "{bound} bounds {} by {slack}",
            scored.score
        );
    }
}

/// Blocks with skips and concatenations.
fn random_network(seed: u64) -> Graph {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut net = Net::new(&[3, 4, 4]);
    net.conv("stem", 8, 3, 1);
    for block in 0..random.random_range(1..7) {
        let (name, width) = (format!("block{block}"), random.random_range(4..24));
        let before = net.here();
        let channels = net.graph().value(before).shape[1].at_batch(1);
        match random.random_range(0..3) {
            0 => net.conv(&name, width, 3, 1).batch_norm(&format!("{name}.bn")).relu(),
            1 => net.conv(&format!("{name}.a"), width, 1, 1).conv(&format!("{name}.b"), channels, 3, 1).add(before),
            _ => net.conv(&name, width, 1, 1).cat(before),
        };
    }
    net.flatten().linear("head", 5);
    net.graph()
}

#[test]
fn tensors_and_the_plain_search_rank_random_networks_alike() {
    let device = runtime::initialise(1, wire::Device::Cpu).unwrap();
    for seed in 0..12 {
        check_that_rankings_agree(&random_network(seed), 1 + 7 * seed as usize, seed, device);
    }
}

#[test]
fn tensors_and_the_plain_search_rank_the_example_networks_alike() {
    let device = runtime::initialise(1, wire::Device::Cpu).unwrap();
    for name in ["resnet20-digits.pt", "vgg-digits.pt"] {
        let graph = torch::import(&example(name), Some(&[vec![1, 8, 8]])).unwrap().graph;
        check_that_rankings_agree(&graph, 64, 3, device);
    }
}

#[test]
fn a_gpu_and_the_plain_search_rank_alike() {
    let device = runtime::initialise(1, wire::Device::Auto).unwrap();
    if !device.is_cuda() {
        eprintln!("skipped: libtorch finds no GPU on this machine");
        return;
    }
    for seed in 0..4 {
        check_that_rankings_agree(&random_network(seed), 64, seed, device);
    }
}

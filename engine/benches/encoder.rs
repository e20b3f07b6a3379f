//! How long the contrastive training of the encoder takes: 10 000 configurations of a CIFAR ResNet-56.
//!
//! `cargo bench -p secateur-engine --bench encoder -- [CONFIGS [EPOCHS [THREADS]]]`. Prints wall time and, for a machine that has
//! other work, processor time. libtorch does the work, so a debug build of the bench measures nearly the same.

use secateur_core::configuration::{Constraints, Limits};
use secateur_core::cost::{CostModel, Metric};
use secateur_core::group::Grouping;
use secateur_core::search::layer::LayerGraph;
use secateur_core::search::space::Space;
use secateur_core::spec::EncoderSpec;
use secateur_core::testing::Net;
use secateur_core::wire::Device;
use secateur_engine::encoder::{self, Settings};
use secateur_engine::torch::runtime;

fn main() {
    let arguments: Vec<u32> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let argument = |index: usize, default: u32| arguments.get(index).copied().unwrap_or(default);
    let spec = EncoderSpec::default();
    let settings = Settings {
        configs: argument(0, spec.configs.get() as u32) as usize,
        hidden: spec.hidden.get(),
        epochs: argument(1, spec.epochs),
        temperature: spec.temperature,
        negatives: spec.negatives.get(),
        seed: 0,
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as u32;
    let threads = argument(2, cores);
    let device = runtime::initialise(threads as usize, Device::Cpu).expect("libtorch starts");

    let graph = Net::resnet(&[3, 32, 32], &[16, 32, 64], 9).graph();
    let grouping = Grouping::of(&graph);
    let costs = CostModel::of(&graph, &grouping);
    let limits = Limits::new(&graph, &grouping, &Constraints::default()).expect("the network has groups");
    let space = Space::new(&costs, &limits, Metric::Flops, 0.1);
    let layers = LayerGraph::of(&graph, &grouping);
    println!(
        "{} layers, {} groups, {} configurations, {} epochs, {threads} threads, load {}",
        layers.len(),
        space.groups(),
        settings.configs,
        settings.epochs,
        std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim()
    );
    let before = processor_seconds();
    let trained = encoder::train(&layers, &space, &settings, device, None, |end| {
        println!("  epoch {}: loss {:.5}, contrastive accuracy {:.3}", end.epoch, end.loss, end.contrastive_accuracy);
    })
    .expect("the encoder trains");
    println!("{:.1} s wall, {:.1} s of processors", trained.seconds, processor_seconds() - before);
}

/// User and system time of this process so far.
fn processor_seconds() -> f64 {
    // SAFETY: `getrusage` fills the struct that it is given, which is plain numbers.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut usage);
        usage
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 * 1e-6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

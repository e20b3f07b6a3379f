//! How well rankings predict: rank correlation with accuracy on configurations that no ranking has seen.
//!
//! `cargo bench -p secateur-engine --bench ranking -- MODEL.pt DATA.npz [MEAN STD [CONFIGURATIONS]]`. For each cost band (50, 70, 85 %
//! of the MACs removed) random configurations are drawn, cut, their batch norm recalibrated and their accuracy
//! measured; then Spearman's rho with a bootstrap interval is printed for every ranking. The data set must have labels.

mod subject;

use std::path::{Path, PathBuf};
use std::time::Instant;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use secateur_core::cost::Metric;
use secateur_core::search::layer::LayerGraph;
use secateur_core::search::ranking::Ranking;
use secateur_core::search::ranking::sensitivity::SensitivitySum;
use secateur_core::search::ranking::similarity::Scorer;
use secateur_core::search::space::{Band, Space};
use secateur_core::search::top::Scored;
use secateur_core::search::walk::{WalkPlan, run};
use secateur_core::search::{SearchState, proposal};
use secateur_core::spec::JobSpec;
use secateur_core::statistics::spearman;
use secateur_engine::encoder::{self, Settings};
use secateur_engine::error::Error;
use secateur_engine::measure::distortion::{DivergenceMeter, Recovery};
use secateur_engine::torch::runtime;

use subject::Subject;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let [model, data, ..] = &arguments[..] else {
        eprintln!("usage: ranking MODEL.pt DATA.npz [MEAN STD [CONFIGURATIONS]]");
        return;
    };
    let number =
        |index: usize, default: f64| arguments.get(index).map_or(default, |text| text.parse().expect("a number"));
    let (mean, std, count) = (number(2, 0.0), number(3, 1.0), number(4, 100.0) as usize);
    compare(&PathBuf::from(model), &PathBuf::from(data), mean, std, count).expect("the benchmark runs");
}

fn compare(model: &Path, data: &Path, mean: f64, std: f64, count: usize) -> Result<(), Error> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let device = runtime::initialise(threads, secateur_core::wire::Device::Cpu)?;
    let spec = format!(r#"{{"target": {{"flops_reduction": 0.5}}, "input": {{"mean": {mean}, "std": {std}}}}}"#);
    let spec = JobSpec::from_json(&spec)?;
    let subject = Subject::open(model, data, &spec, device)?;
    let Subject { original, outputs, grouping, importance, costs, limits, train, .. } = &subject;
    let meter = DivergenceMeter::new(original, outputs, grouping, train, Recovery::Statistics, 0)?;
    let space = Space::new(costs, limits, Metric::Flops, 0.1);
    let layers = LayerGraph::of(original.graph(), grouping);
    println!("{}: {} groups, 10^{:.0} configurations", model.display(), space.groups(), space.log10_size());

    let settings = Settings { configs: 10_000, hidden: 64, epochs: 5, temperature: 0.1, negatives: 8, seed: 0 };
    let trained = encoder::train(&layers, &space, &settings, device, None, |end| {
        println!("  encoder epoch {}: loss {:.4}", end.epoch, end.loss);
    })?;
    println!("  encoder: {:.1} s, contrastive accuracy {:.3}", trained.seconds, trained.contrastive_accuracy());
    let similarity = Scorer::new(&layers, &space, &trained.encoder);

    let started = Instant::now();
    let measured = subject.sensitivities(&meter, importance)?;
    let measurements = measured.len();
    println!("  sensitivity: {measurements} measurements in {:.1} s", started.elapsed().as_secs_f64());
    let sum = SensitivitySum::interpolate(&space, &measured);

    let configuration = |levels: &[u8]| proposal::configuration(&space, importance, levels);
    for target in [0.5, 0.7, 0.85] {
        let band = Band { low: target, high: target + 0.01 };
        let mut random = ChaCha8Rng::seed_from_u64(1_000 + (target * 100.0) as u64);
        let points: Vec<_> = std::iter::repeat_with(|| space.draw(band, &mut random)).flatten().take(count).collect();
        let started = Instant::now();
        let (mut accuracy, mut divergence) = (Vec::new(), Vec::new());
        for point in &points {
            let network = meter.network(&configuration(&point.levels))?;
            accuracy.push(subject.held_out(&network)?);
            divergence.push(-meter.divergence(&network)?);
        }
        let seconds = started.elapsed().as_secs_f64();
        let best = accuracy.iter().copied().fold(0.0, f64::max);
        let mean_accuracy = accuracy.iter().sum::<f64>() / accuracy.len() as f64;
        println!(
            "band {target}: {} configurations in {seconds:.1} s, accuracy mean {mean_accuracy:.3}, best {best:.3}",
            points.len()
        );
        for (method, configuration) in subject.baselines(target)? {
            println!("  {method}: accuracy {:.3}", subject.held_out(&meter.network(&configuration)?)?);
        }
        let plan = WalkPlan { seed: 0, candidates: 200_000, top: 24, threads };
        let top = |found: Vec<Scored>| -> Result<Vec<f64>, Error> {
            found.iter().map(|scored| subject.held_out(&meter.network(&configuration(&scored.levels))?)).collect()
        };
        let accuracies = top(run(&plan, &space, band, &sum, SearchState::default(), 64, &mut |_| {}).best)?;
        let best = accuracies.iter().copied().fold(0.0, f64::max);
        println!("  top 24 of 200 000 by sensitivity: best {best:.3}, first {:.3}", accuracies[0]);
        let kept_params = |levels: &[u8]| costs.at(&space.kept(levels)).params as f64;
        let smallest_share = |levels: &[u8]| {
            let full = costs.full_widths();
            space.kept(levels).iter().zip(full).map(|(&kept, &all)| kept as f64 / all as f64).fold(1.0, f64::min)
        };
        let rankings: [(&str, Vec<f64>); 5] = [
            (
                "similarity",
                points.iter().map(|point| f64::from(similarity.score(&similarity.state(&point.levels)))).collect(),
            ),
            ("sensitivity", points.iter().map(|point| -sum.distortion(&point.levels)).collect()),
            ("kept parameters", points.iter().map(|point| kept_params(&point.levels)).collect()),
            ("smallest share", points.iter().map(|point| smallest_share(&point.levels)).collect()),
            ("own divergence", divergence),
        ];
        for (name, scores) in &rankings {
            print_rho(name, scores, &accuracy);
        }
    }
    Ok(())
}

/// rho with the 90 % interval of 1000 bootstrap samples.
fn print_rho(name: &str, scores: &[f64], accuracy: &[f64]) {
    let Some(found) = spearman(scores, accuracy) else {
        println!("  {name:>16}: no rho, a series is constant");
        return;
    };
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let mut rhos: Vec<f64> = (0..1000)
        .filter_map(|_| {
            let picks: Vec<usize> = (0..scores.len()).map(|_| random.random_range(0..scores.len())).collect();
            let take = |series: &[f64]| picks.iter().map(|&index| series[index]).collect::<Vec<_>>();
            spearman(&take(scores), &take(accuracy)).map(|found| found.rho)
        })
        .collect();
    rhos.sort_by(f64::total_cmp);
    let at = |share: f64| rhos[((rhos.len() - 1) as f64 * share) as usize];
    println!("  {name:>16}: rho {:+.2} [{:+.2}, {:+.2}], p {:.1e}", found.rho, at(0.05), at(0.95), found.p_value);
}

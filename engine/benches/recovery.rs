//! What predicts the accuracy after fine-tuning: the question that a screen has to answer.
//!
//! `cargo bench -p secateur-engine --bench recovery -- MODEL.pt DATA.npz MEAN STD TARGET CONFIGURATIONS EPOCHS > rows.jsonl`. Configurations of a
//! cost band (random ones, the best by the sum of sensitivities, the classical methods') are cut, measured after BN
//! recalibration and after some steps of distillation, and then fine-tuned. Rows go to standard output, rank correlations
//! with the accuracy after fine-tuning to standard error.

use std::path::PathBuf;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use secateur_core::candidate::{self, Configuration, Limits};
use secateur_core::cost::CostModel;
use secateur_core::dataset::{Dataset, Split as SplitName};
use secateur_core::group::Grouping;
use secateur_core::importance::{Evidence, Importance};
use secateur_core::search::additive::{self, Additive, Sensitivity};
use secateur_core::search::proposal;
use secateur_core::search::space::{Band, Space};
use secateur_core::search::{self, Plan, Progress};
use secateur_core::spec::{JobSpec, Metric};
use secateur_core::statistics::spearman;
use secateur_engine::data::{Data, Split};
use secateur_engine::distortion::Judge;
use secateur_engine::error::Error;
use secateur_engine::evaluate;
use secateur_engine::fine_tune::repair::Repair;
use secateur_engine::fine_tune::{Session, fine_tune};
use secateur_engine::messages::Messages;
use secateur_engine::network::Network;
use secateur_engine::torch::{self, runtime};
use secateur_engine::weights;

/// Steps of distillation after which is measured.
const STEPS: [usize; 4] = [25, 50, 100, 200];

/// The configurations by the sum of sensitivities are spread over this many of its best.
const BEST: usize = 200;

struct Study {
    model: PathBuf,
    data: PathBuf,
    mean: f64,
    std: f64,
    /// Share of the MACs that is removed.
    target: f64,
    configurations: usize,
    epochs: u32,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let [model, data, mean, std, target, configurations, epochs] = &arguments[..] else {
        eprintln!("usage: recovery MODEL.pt DATA.npz MEAN STD TARGET CONFIGURATIONS EPOCHS");
        return;
    };
    let number = |text: &str| text.parse::<f64>().expect("a number");
    let study = Study {
        model: model.into(),
        data: data.into(),
        mean: number(mean),
        std: number(std),
        target: number(target),
        configurations: number(configurations) as usize,
        epochs: number(epochs) as u32,
    };
    run(&study).expect("the benchmark runs");
}

fn run(study: &Study) -> Result<(), Error> {
    let Study { model, data, mean, std, target, configurations, epochs } = study;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let device = runtime::initialise(threads, secateur_core::task::Device::Cpu)?;
    let spec = format!(
        r#"{{"target": {{"flops_reduction": {target}}}, "input": {{"mean": {mean}, "std": {std}}}, "fine_tune": {{"epochs": {epochs}, "batch_size": 64}}}}"#
    );
    let spec = JobSpec::from_json(&spec)?;
    let settings = spec.fine_tune.clone().expect("the spec fine-tunes");
    let shape = Dataset::open(data)?.summary().sample_shape.iter().map(|&size| size as i64).collect();
    let imported = torch::import(model, Some(&[shape]))?;
    let original = Network::new(imported.graph, imported.weights)?;
    let grouping = Grouping::of(original.graph());
    let data = Data::open(data, original.graph(), &spec, device)?;
    let (train, val, test) = (data.split(SplitName::Train)?, data.split(SplitName::Val)?, data.split(SplitName::Test)?);
    let judge = Judge::new(&original, &grouping, &train, 0)?;
    let on_val = Judge::new(&original, &grouping, &val, 0)?;

    let host = weights::to_host(original.graph(), original.weights())?;
    let evidence = Evidence { graph: original.graph(), grouping: &grouping, weights: &host, saliency: None };
    let importance = Importance::measure(&evidence, spec.importance);
    let costs = CostModel::of(original.graph(), &grouping);
    let limits = Limits::new(original.graph(), &grouping, &spec.constraints)?;
    let space = Space::new(&costs, &limits, Metric::Flops, 0.1);

    let measured: Vec<Sensitivity> = additive::probes(&limits)
        .into_iter()
        .map(|probe| judge.sensitivity(&importance, probe))
        .collect::<Result<_, _>>()?;
    let sum = Additive::interpolate(&space, &measured);
    println!(
        "{}",
        serde_json::json!({"sensitivities": measured, "full": costs.full_widths(), "original": held_out(&original, &val, &test)?})
    );

    let band = Band::of_target(spec.target.reduction);
    let mut chosen: Vec<(String, Configuration)> = Vec::new();
    let mut random = ChaCha8Rng::seed_from_u64(77);
    let at = |levels: &[u8]| proposal::configuration(&space, &importance, levels);
    let plan = Plan { seed: 0, candidates: 200_000, top: BEST, threads };
    let best = search::run(&plan, &space, band, &sum, Progress::default(), 64, &mut |_| {}).best;
    for scored in best.iter().step_by((2 * BEST / configurations.max(&1)).max(1)) {
        chosen.push(("sum".to_owned(), at(&scored.levels)));
    }
    for method in ["uniform", "global_l1", "global_l2"] {
        let spec = format!(r#"{{"target": {{"flops_reduction": {target}}}, "method": "{method}"}}"#);
        let spec = JobSpec::from_json(&spec)?;
        let candidate = candidate::propose(original.graph(), &grouping, &costs, &host, &spec)?.remove(0);
        chosen.push((method.to_owned(), candidate.configuration));
    }
    for point in std::iter::repeat_with(|| space.draw(band, &mut random)).flatten().take(*configurations) {
        chosen.push(("random".to_owned(), at(&point.levels)));
    }

    let messages = Messages::discard();
    let repairs: Vec<Repair> =
        STEPS.iter().map(|&steps| Repair::new(&original, &train, &settings, steps, 0)).collect::<Result<_, _>>()?;
    let mut columns: Vec<Vec<f64>> = vec![Vec::new(); 2 + 2 * STEPS.len() + 2];
    let mut truth = Vec::new();
    for (origin, configuration) in chosen {
        let cut = judge.network(&configuration)?;
        let predicted = -sum.distortion(&space.nearest(&configuration.widths()));
        let params = costs.at(&configuration.widths()).params as f64;
        let mut row = vec![predicted, params, on(&cut, &val)?, -on_val.divergence(&cut)?];
        for repair in &repairs {
            let repaired = repair.network(judge.network(&configuration)?)?;
            row.extend([on(&repaired, &val)?, -on_val.divergence(&repaired)?]);
        }
        let session = Session {
            teacher: &original,
            train: &train,
            val: &val,
            settings: &settings,
            seed: 0,
            messages: &messages,
            checkpoints: None,
        };
        let graph = cut.graph().clone();
        let tuned = fine_tune(&session, &graph, cut.weights())?;
        let tuned = Network::new(graph, tuned.weights)?;
        let accuracy = held_out(&tuned, &val, &test)?;
        println!(
            "{}",
            serde_json::json!({"origin": origin, "widths": configuration.widths(), "row": row, "tuned": accuracy,
                "tuned_divergence": on_val.divergence(&tuned)?, "tuned_val": on(&tuned, &val)?})
        );
        truth.push(accuracy);
        columns.iter_mut().zip(&row).for_each(|(column, &value)| column.push(value));
    }
    let names = ["sum", "params", "accuracy 0", "divergence 0"].map(str::to_owned).into_iter();
    let names =
        names.chain(STEPS.iter().flat_map(|steps| [format!("accuracy {steps}"), format!("divergence {steps}")]));
    for (name, column) in names.zip(&columns) {
        if let Some(found) = spearman(column, &truth) {
            eprintln!("{name:>16}: rho {:+.2}, p {:.1e}", found.rho, found.p_value);
        }
    }
    Ok(())
}

fn on(network: &Network, split: &Split) -> Result<f64, Error> {
    Ok(evaluate::accuracy(network, split)?.expect("the data set has labels"))
}

/// On both held-out splits together, for less noise.
fn held_out(network: &Network, val: &Split, test: &Split) -> Result<f64, Error> {
    let (vals, tests) = (val.count() as f64, test.count() as f64);
    Ok((on(network, val)? * vals + on(network, test)? * tests) / (vals + tests))
}

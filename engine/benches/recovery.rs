//! What predicts the accuracy after fine-tuning: the question that a screen has to answer.
//!
//! `cargo bench -p secateur-engine --bench recovery -- MODEL.pt DATA.npz MEAN STD TARGET CONFIGURATIONS EPOCHS`. Configurations of a cost
//! band (the classical methods', some of the best by the sum of sensitivities, random ones) are cut, measured after BN
//! recalibration, after the repair in closed form and after some steps of distillation, and then all fine-tuned alike, from the network that was
//! repaired in closed form. The best and the random ones keep the channels whose loss their readers feel most; the best by the sensitivities
//! before the closed form, by which jobs once searched, keep those of largest L1 norm. Printed are the
//! accuracies by origin, before and after, and, over the random ones, the rank correlations of what was measured before with accuracy and
//! with minus the KL divergence after.

mod subject;

use std::cell::OnceCell;
use std::path::PathBuf;
use std::time::Instant;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use secateur_core::configuration::Configuration;
use secateur_core::cost::Metric;
use secateur_core::importance::{Criterion, Evidence, Importance, ImportanceSpec, OnSamples};
use secateur_core::search::ranking::sensitivity::SensitivitySum;
use secateur_core::search::space::{Band, Space};
use secateur_core::search::walk::{self, WalkPlan};
use secateur_core::search::{SearchState, proposal};
use secateur_core::spec::JobSpec;
use secateur_core::statistics::{Spread, spearman};
use secateur_engine::error::Error;
use secateur_engine::measure::distortion::{DivergenceMeter, Recovery};
use secateur_engine::measure::evaluate::{self, Validator};
use secateur_engine::network::Network;
use secateur_engine::process::messages::Messages;
use secateur_engine::reconstruction::elimination::{Elimination, Eliminator};
use secateur_engine::torch::runtime;
use secateur_engine::training::repair::Repair;
use secateur_engine::training::{Session, Start, fine_tune};

use subject::Subject;

/// Steps of distillation after which is measured.
const STEPS: [usize; 1] = [50];

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
    let device = runtime::initialise(threads, secateur_core::wire::Device::Cpu)?;
    let spec = format!(
        r#"{{"target": {{"flops_reduction": {target}}}, "input": {{"mean": {mean}, "std": {std}}}, "fine_tune": {{"epochs": {epochs}, "batch_size": 64}}}}"#
    );
    let spec = JobSpec::from_json(&spec)?;
    let settings = spec.fine_tune.clone().expect("the spec fine-tunes");
    let subject = Subject::open(model, data, &spec, device)?;
    let Subject { original, outputs, grouping, importance: by_l1, costs, limits, train, val, .. } = &subject;
    let with = |recovery| DivergenceMeter::new(original, outputs, grouping, train, recovery, 0);
    let samples = spec.recovery.samples.get() as i64;
    let Losses { importance, eliminations } = &Losses::of(&subject, samples)?;
    let (meter, by_statistics) = (with(Recovery::ClosedForm { samples })?, with(Recovery::Statistics)?);
    let on_val = DivergenceMeter::new(original, outputs, grouping, val, Recovery::Statistics, 0)?;
    let space = Space::new(costs, limits, Metric::Flops, 0.1);
    let sum_of = |meter: &DivergenceMeter, importance| -> Result<SensitivitySum, Error> {
        let started = Instant::now();
        let sum = SensitivitySum::interpolate(&space, &subject.sensitivities(meter, importance)?);
        println!("sensitivities: {:.1} s", started.elapsed().as_secs_f64());
        Ok(sum)
    };
    let sum = sum_of(&meter, importance)?;
    let (fitted_l1, statistics_l1) = (sum_of(&meter, by_l1)?, sum_of(&by_statistics, by_l1)?);
    let losses = |widths: &[usize]| -> f64 {
        let of_group = |(found, &width): (&Option<Elimination>, &usize)| Some(found.as_ref()?.errors[width - 1]);
        eliminations.iter().zip(widths).filter_map(of_group).sum()
    };

    let band = Band::of_target(spec.target.reduction);
    let plan = WalkPlan { seed: 0, candidates: 200_000, top: BEST, threads };
    let best_by = |sum: &SensitivitySum| {
        let best = walk::run(&plan, &space, band, sum, SearchState::default(), 64, &mut |_| {}).best;
        let step = (2 * BEST / configurations.max(&1)).max(1);
        best.into_iter().step_by(step).map(|scored| scored.levels).collect::<Vec<Vec<u8>>>()
    };
    let mut random = ChaCha8Rng::seed_from_u64(77);
    let drawn = std::iter::repeat_with(|| space.draw(band, &mut random)).flatten().take(*configurations);
    let at = |importance, levels: &[u8]| proposal::configuration(&space, importance, levels);
    let mut chosen = subject.baselines(*target)?;
    chosen.extend(best_by(&sum).iter().map(|levels| ("sum", at(importance, levels))));
    // As jobs searched before the closed form.
    chosen.extend(best_by(&statistics_l1).iter().map(|levels| ("sum by statistics", at(by_l1, levels))));
    chosen.extend(drawn.map(|point| (RANDOM, at(importance, &point.levels))));

    let repairs: Vec<Repair> = STEPS
        .iter()
        .map(|&steps| Repair::new(original, outputs, train, &settings, steps, 0))
        .collect::<Result<_, _>>()?;
    let session = Session {
        original,
        outputs,
        train,
        validator: &Validator::new(original, outputs, val)?,
        settings: &settings,
        seed: 0,
        messages: &Messages::discard(),
        answers: OnceCell::new(),
        checkpoints: None,
    };
    let accuracy = |network: &Network| -> Result<f64, Error> {
        Ok(evaluate::with_labels(network, val)?.expect("the data set has labels").value)
    };
    let mut rows: Vec<Row> = Vec::new();
    for (origin, configuration) in chosen {
        let widths = configuration.widths();
        let shares = widths.iter().zip(costs.full_widths()).map(|(&kept, &all)| kept as f64 / all as f64);
        let cut = by_statistics.network(&configuration)?;
        let nearest = space.nearest(&widths);
        let mut before = vec![
            ("sum of sensitivities".to_owned(), -sum.distortion(&nearest)),
            ("the same, channels by L1".to_owned(), -fitted_l1.distortion(&nearest)),
            ("the same, statistics".to_owned(), -statistics_l1.distortion(&nearest)),
            ("what readers lose".to_owned(), -losses(&widths)),
            ("kept parameters".to_owned(), costs.at(&widths).params as f64),
            ("summed log shares".to_owned(), shares.map(f64::ln).sum()),
            ("accuracy, 0 steps".to_owned(), accuracy(&cut)?),
            ("divergence, 0 steps".to_owned(), -on_val.divergence(&cut)?),
        ];
        let fitted = meter.network(&configuration)?;
        let other = meter.network(&Configuration::by_importance(by_l1, &widths))?;
        before.push(("accuracy, closed form, channels by L1".to_owned(), accuracy(&other)?));
        before.push(("accuracy, closed form".to_owned(), accuracy(&fitted)?));
        before.push(("divergence, closed form".to_owned(), -on_val.divergence(&fitted)?));
        for repair in &repairs {
            let repaired = repair.network(by_statistics.network(&configuration)?)?;
            before.push((format!("accuracy, {} steps", repair.steps()), accuracy(&repaired)?));
            before.push((format!("divergence, {} steps", repair.steps()), -on_val.divergence(&repaired)?));
        }
        let graph = cut.graph().clone();
        let tuned = fine_tune(&session, Start { graph: &graph, weights: fitted.weights(), hints: &[], candidate: 0 })?;
        let tuned = Network::new(graph, tuned.weights)?;
        let row = Row { origin, before, accuracy: subject.held_out(&tuned)?, divergence: on_val.divergence(&tuned)? };
        println!("{origin}: accuracy {:.4}, divergence {:.4}", row.accuracy, row.divergence);
        rows.push(row);
    }
    print(&rows);
    Ok(())
}

/// What the layers that read a group lose, group by group where there are any, and the order that this gives.
struct Losses {
    importance: Importance,
    eliminations: Vec<Option<Elimination>>,
}

impl Losses {
    fn of(subject: &Subject, most_samples: i64) -> Result<Self, Error> {
        let Subject { original, grouping, weights, train: split, .. } = subject;
        let eliminator = Eliminator { original, grouping, split, most_samples, seed: 0 };
        let found = (0..grouping.groups().len()).map(|group| eliminator.eliminate(group));
        let eliminations: Vec<Option<Elimination>> = found.collect::<Result<_, Error>>()?;
        let of_groups = grouping.groups().iter().zip(&eliminations);
        let losses =
            of_groups.filter_map(|(group, found)| Some((group.name.clone(), found.as_ref()?.losses()))).collect();
        let on_samples = OnSamples::Losses(&losses);
        let evidence = Evidence { graph: original.graph(), grouping, weights, on_samples };
        let importance = Importance::measure(&evidence, ImportanceSpec::plain(Criterion::Reconstruction));
        Ok(Self { importance, eliminations })
    }
}

/// A configuration, as it was before and after fine-tuning.
struct Row {
    origin: &'static str,
    /// The more, the better it should be.
    before: Vec<(String, f64)>,
    accuracy: f64,
    divergence: f64,
}

const RANDOM: &str = "random";

fn print(rows: &[Row]) {
    let mut origins: Vec<&str> = rows.iter().map(|row| row.origin).collect();
    origins.dedup();
    for &origin in &origins {
        let found: Vec<f64> = rows.iter().filter(|row| row.origin == origin).map(|row| row.accuracy).collect();
        let best = found.iter().copied().fold(0.0, f64::max);
        let Spread { mean, std, n } = Spread::of(&found).expect("every origin has a row");
        println!("{origin}: {n} configurations, accuracy mean {mean:.4}, std {std:.4}, best {best:.4}");
    }
    for (index, (name, _)) in rows[0].before.iter().enumerate() {
        let of_origin = |origin: &&str| {
            let values = rows.iter().filter(|row| row.origin == *origin).map(|row| row.before[index].1);
            let mean = Spread::of(&values.collect::<Vec<f64>>()).map_or(f64::NAN, |spread| spread.mean);
            format!("{origin} {mean:.4}")
        };
        println!("  {name:>38}: {}", origins.iter().map(of_origin).collect::<Vec<_>>().join(", "));
    }
    let random: Vec<&Row> = rows.iter().filter(|row| row.origin == RANDOM).collect();
    let Some(first) = random.first() else { return };
    let accuracies: Vec<f64> = random.iter().map(|row| row.accuracy).collect();
    let likeness: Vec<f64> = random.iter().map(|row| -row.divergence).collect();
    for (index, (name, _)) in first.before.iter().enumerate() {
        let before: Vec<f64> = random.iter().map(|row| row.before[index].1).collect();
        let rho = |after: &[f64]| {
            spearman(&before, after)
                .map_or("none".to_owned(), |found| format!("{:+.2} (p {:.1e})", found.rho, found.p_value))
        };
        println!("  {name:>38}: rho with accuracy {}, with minus the divergence {}", rho(&accuracies), rho(&likeness));
    }
}

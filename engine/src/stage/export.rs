//! The best network as TorchScript, beside the original written by the same exporter, and what both answered in memory.

use std::fs::File;
use std::io::{self, Write};

use secateur_core::archive;
use secateur_core::configuration::Candidate;
use secateur_core::group::Grouping;
use secateur_core::inspection::ExportKind;
use secateur_core::number::UnitInterval;
use secateur_core::recovery::{Accuracy, HeldOut, Measure, MetricReport, MetricValue};
use secateur_core::rejection::{Code, Rejection};
use secateur_core::report::{ExportReport, ProvedSize, SizesReport};
use secateur_core::spec::TritonSpec;
use secateur_core::stage::export::{
    BASE_MODEL, CONFIG, ExportResult, ExportWork, PROBE_BATCHES, PROBES, PRUNED_GRAPH, PRUNED_MODEL, TRITON,
};
use secateur_core::stage::import::MODEL;
use secateur_core::stage::screen::screened_weights;
use secateur_core::stage::tune::tuned_weights;
use secateur_core::surgery::Cut;
use secateur_core::triton;
use tch::{Device, Tensor};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::candidate::{self, Ground};
use super::task::Task;
use crate::data::{Data, SplitName};
use crate::error::Error;
use crate::guard;
use crate::measure::evaluate::Validator;
use crate::network::{Network, random_inputs, weights};
use crate::process::versions::versions;
use crate::proof::program::{self, Compared};
use crate::torch;

/// Writes the pruned model.
///
/// # Errors
/// The accuracy fell by more than the spec allows.
pub(super) fn run(task: &Task, work: &ExportWork) -> Result<ExportResult, Error> {
    let &ExportWork { candidate, tuned, .. } = work;
    let original = task.original()?;
    let candidate = task.candidate(candidate)?;
    let (cut, pruned) = network(task, &original, &candidate, tuned)?;
    let metric = match task.data(original.graph())? {
        Some(data) => Some(measured(task, &data, &original, &pruned)?),
        None => None,
    };
    let accuracy = metric
        .as_ref()
        .filter(|metric| metric.name == Measure::Accuracy)
        .map(|&MetricReport { pruned: HeldOut { val, test }, .. }| Accuracy { val, test });

    let (export, sizes) = write_models(task, &original, &candidate, (&cut, &pruned), PRUNED_MODEL)?;
    weights::save_named(
        &task.path(PROBES),
        probes(task, &pruned)?.iter().map(|(name, tensor)| (name.as_str(), tensor)),
    )?;
    task.write_json(CONFIG, &candidate.configuration.replay(&Grouping::of(original.graph())))?;
    task.write(PRUNED_GRAPH, pruned.graph().to_json().as_bytes())?;
    if let Some(settings) = &task.spec.triton {
        write_triton_model(task, settings, &triton::config(settings, original.graph(), &sizes))?;
    }

    Ok(ExportResult {
        candidate: candidate.index,
        base_bytes: task.size_of(BASE_MODEL)?,
        pruned_bytes: task.size_of(PRUNED_MODEL)?,
        accuracy,
        metric: metric.map(Box::new),
        export: Some(export),
        sizes: Some(Box::new(sizes)),
    })
}

/// A candidate's network as it is written: the cut, and the weights of the stage `tune`, or else of the stage `screen`.
pub(super) fn network(
    task: &Task,
    original: &Network,
    candidate: &Candidate,
    tuned: bool,
) -> Result<(Cut, Network), Error> {
    let cut = candidate::cut(original.graph(), candidate)?;
    let graph = cut.graph.clone();
    let tensors = if tuned {
        weights::load(&task.path(&tuned_weights(candidate.index)), &graph, task.device)?
    } else {
        let ground = Ground::of(task, original)?;
        let validator = ground.as_ref().map(|ground| ground.validator(original)).transpose()?;
        let ground = ground.as_ref().zip(validator.as_ref());
        candidate::weights_of(task, original, candidate, ground, &[screened_weights])?
    };
    let tensors = weights::flush_subnormals(&graph, &tensors)?;
    let pruned = Network::new(graph, tensors)?;
    Ok((cut, pruned))
}

/// What the network that is exported and the original are worth on both held-out splits.
///
/// # Errors
/// A [`Rejection`] when the metric fell by more than the spec allows.
fn measured(task: &Task, data: &Data, original: &Network, pruned: &Network) -> Result<MetricReport, Error> {
    let outputs = task.outputs(original, &data.split(SplitName::Train)?)?;
    let of_split = |name| -> Result<OfSplit, Error> {
        let split = data.split(name)?;
        let validator = Validator::new(original, &outputs, &split)?;
        let ((base, base_others), (pruned, others)) = (validator.scored(original)?, validator.scored(pruned)?);
        Ok(OfSplit {
            measure: validator.measure(),
            base: base.value().unwrap_or(0.0),
            pruned: pruned.value().unwrap_or(0.0),
            others: base_others.into_iter().zip(others).collect(),
        })
    };
    let (on_val, on_test) = (of_split(SplitName::Val)?, of_split(SplitName::Test)?);
    let (name, base_val, val) = (on_val.measure, on_val.base, on_val.pruned);
    let allowed = task.spec.target.max_metric_drop.map_or(f64::INFINITY, UnitInterval::get);
    let drop = base_val - val;
    if drop > allowed {
        let name = name.as_str();
        return Err(Rejection::new(
            Code::AccuracyDropExceeded,
            format!(
                "The validation metric `{name}` fell from {base_val:.4} to {val:.4}, by {drop:.4}; `max_metric_drop` allows {allowed}."
            ),
        )
        .at("target.max_metric_drop")
        .hint("Ask for a smaller reduction, or tune for more epochs.")
        .into());
    }
    let other = |(on_val, on_test): (OfBoth, OfBoth)| {
        let ((name, base_val), (_, val)) = on_val;
        let ((_, base_test), (_, test)) = on_test;
        MetricValue {
            name,
            higher_is_better: name.higher_is_better(),
            base: HeldOut { val: base_val, test: base_test },
            pruned: HeldOut { val, test },
        }
    };
    Ok(MetricReport {
        name,
        higher_is_better: name.higher_is_better(),
        base: HeldOut { val: base_val, test: on_test.base },
        pruned: HeldOut { val, test: on_test.pruned },
        others: on_val.others.into_iter().zip(on_test.others).map(other).collect(),
    })
}

/// One more number of the original and of the pruned network.
type OfBoth = ((Measure, f64), (Measure, f64));

/// What was measured on one split.
struct OfSplit {
    measure: Measure,
    base: f64,
    pruned: f64,
    others: Vec<OfBoth>,
}

/// Writes the pruned network under a name, and the original as [`BASE_MODEL`] in the same way, so that their latencies can be compared:
/// as the user's program where that can be done, else as recordings.
pub(super) fn write_models(
    task: &Task,
    original: &Network,
    candidate: &Candidate,
    (cut, pruned): (&Cut, &Network),
    name: &str,
) -> Result<(ExportReport, SizesReport), Error> {
    let config = candidate.configuration.replay(&Grouping::of(original.graph()));
    let about = serde_json::json!({ "versions": versions(), "config": config }).to_string();
    let extra = &[("secateur.json", about.as_str())];
    if guard::Layer::Preflight.is_on() {
        archive::preflight(&task.path(MODEL))?;
    }
    let patch = |network: &Network, name: &str, extra: &[(&str, &str)]| {
        let cut = (network.graph(), network.weights());
        torch::patch(&task.path(MODEL), original.graph(), cut, &task.path(name), extra)
    };
    let patched = patch(pruned, name, extra).and_then(|edits| Ok((edits, patch(original, BASE_MODEL, &[])?)));
    match patched {
        Ok((edits, _)) => {
            task.messages.log(format!("the file is the user's program with {} changes of its text", edits.len()));
            let scratch = ["other-size-zeroed.pt", "other-size.pt"].map(|name| task.path(name));
            let Compared { proved, methods, broken_sizes } =
                program::check(&task.path(MODEL), original, cut, scratch, task.spec.seed)?;
            for ProvedSize { shapes, values, .. } in &proved {
                let compared = if *values { "computes the same" } else { "has the same shapes" };
                task.messages.log(format!("at inputs of {shapes:?} the program {compared} as the original's"));
            }
            let broken = methods.iter().filter_map(|method| Some((&method.name, method.problem.as_ref()?)));
            let broken = broken.map(|(name, problem)| format!("The method `{name}` {problem}."));
            let untried = program::untried_branches(&task.path(MODEL), original.graph())?;
            let lost = broken.chain(broken_sizes).chain(untried).collect();
            let export = ExportReport { kind: ExportKind::Patched, reason: None, edits, methods, lost };
            Ok((export, SizesReport::of(original.graph(), proved)))
        }
        Err(reason) => {
            task.messages.log(format!("the file is a recording of the program, since {reason}"));
            record(task, pruned, name, extra)?;
            record(task, original, BASE_MODEL, &[])?;
            let reason = Some(reason.to_string());
            let lost = torch::lost_by_recording(&task.path(MODEL), original.graph())?;
            let (edits, methods) = (Vec::new(), Vec::new());
            let export = ExportReport { kind: ExportKind::Recorded, reason, edits, methods, lost };
            Ok((export, SizesReport::of(original.graph(), vec![program::recorded_size(cut, original.graph())])))
        }
    }
}

/// The folder of a model in a Triton model repository, with [`PRUNED_MODEL`] as its first version. Nothing is packed: weights do not
/// become smaller.
fn write_triton_model(task: &Task, settings: &TritonSpec, config: &str) -> Result<(), Error> {
    let path = task.path(TRITON);
    let wrong = Error::file(&path);
    let write = || -> io::Result<()> {
        let mut model = File::open(task.path(PRUNED_MODEL))?;
        let is_large = model.metadata()?.len() > u64::from(u32::MAX);
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .last_modified_time(zip::DateTime::default())
            .large_file(is_large);
        let mut archive = ZipWriter::new(File::create(&path)?);
        archive.start_file(format!("{}/config.pbtxt", settings.name), options)?;
        archive.write_all(config.as_bytes())?;
        archive.start_file(format!("{}/1/model.pt", settings.name), options)?;
        io::copy(&mut model, &mut archive)?;
        archive.finish()?.sync_all()
    };
    write().map_err(wrong)
}

fn record(task: &Task, network: &Network, name: &str, extra: &[(&str, &str)]) -> Result<(), Error> {
    let weights = on_cpu(network)?;
    torch::export(network.graph(), &weights, &task.path(name), extra)?;
    Ok(())
}

fn on_cpu(network: &Network) -> Result<Vec<Tensor>, Error> {
    weights::for_each_owned(network.graph(), |index, _| {
        Ok(network.weights()[index].f_to(Device::Cpu)?.f_contiguous()?)
    })
}

/// Random inputs and the in-memory answers, on the CPU wherever the job runs; named `BATCH.input.N` and `BATCH.output.N`.
pub(super) fn probes(task: &Task, pruned: &Network) -> Result<Vec<(String, Tensor)>, Error> {
    let mut probes: Vec<(String, Tensor)> = Vec::new();
    let pruned = Network::new(pruned.graph().clone(), on_cpu(pruned)?)?;
    for batch in PROBE_BATCHES {
        let inputs = random_inputs(pruned.graph(), batch, task.spec.seed as i64, Device::Cpu)?;
        let outputs = pruned.evaluate(&inputs)?;
        let numbered = |kind: &str, tensors: Vec<Tensor>| {
            let name = |(number, tensor)| (format!("{batch}.{kind}.{number}"), tensor);
            tensors.into_iter().enumerate().map(name).collect::<Vec<_>>()
        };
        probes.extend(numbered("input", inputs));
        probes.extend(numbered("output", outputs));
    }
    Ok(probes)
}

//! The written file, in a process that never saw the network: reloaded, compared, timed, reported.

use std::collections::{BTreeMap, HashMap};

use secateur_core::candidate::Candidate;
use secateur_core::cost::{CostModel, reduction};
use secateur_core::graph::Graph;
use secateur_core::group::Grouping;
use secateur_core::report::{CandidateReport, Costs, Equivalence, Latency, NetworkReport, Reload, Report};
use secateur_core::spec::Metric;
use secateur_core::statistics::{RankCorrelation, spearman};
use secateur_core::summary::layer_widths;
use secateur_core::task::{History, TaskResult, VerifyResult, file};
use tch::{Device, Tensor};

use super::export::PROBE_BATCHES;
use super::{Finished, Task};
use crate::error::Error;
use crate::torch::{self, Reloaded};
use crate::{difference, latency, weights};

pub fn run(task: &Task, history: &History) -> Result<Finished, Error> {
    let graph = task.graph()?;
    let candidate = task.candidate(history.winner)?;
    let probes: HashMap<String, Tensor> =
        weights::load_named(&task.path(file::PROBES), task.device)?.into_iter().collect();

    let pruned = Reloaded::open(&task.path(file::PRUNED_MODEL), task.device)?;
    let reload = compare(&pruned, &probes)?;
    task.messages.log(format!("the file computes what the network did, largest difference {:e}", reload.max_abs_diff));

    let base = Reloaded::open(&task.path(file::BASE_MODEL), task.device)?;
    let inputs = numbered(&probes, PROBE_BATCHES[0], "input");
    let latencies = latency::side_by_side(
        &mut || base.forward(&inputs).map(drop).map_err(Error::from),
        &mut || pruned.forward(&inputs).map(drop).map_err(Error::from),
        task.threads,
        task.device,
    )?;
    task.messages.log(format!("latency at batch 1: {:.3} ms before, {:.3} ms after", latencies.0.p50, latencies.1.p50));

    let report = report(task, history, &graph, &candidate, reload, latencies)?;
    task.write_json(file::REPORT, &report)?;
    Ok(Finished::new(TaskResult::Verify(Box::new(VerifyResult { report })), [file::REPORT]))
}

/// The reloaded file on the probes, at both batch sizes.
fn compare(pruned: &Reloaded, probes: &HashMap<String, Tensor>) -> Result<Reload, Error> {
    let mut worst: Option<Equivalence> = None;
    for batch in PROBE_BATCHES {
        let inputs = numbered(probes, batch, "input");
        let outputs = pruned.forward(&inputs)?;
        let found = difference::between(&outputs, &numbered(probes, batch, "output"))
            .map_err(|error| Error::internal(format!("the reloaded file at batch {batch}: {error}")))?;
        if !difference::is_within_tolerance(found) {
            return Err(Error::internal(format!(
                "our bug: at batch {batch} the reloaded file differs from the network in memory by {:e}, at most {:e} is \
                 rounding",
                found.max_abs_diff, found.tolerance
            )));
        }
        worst = Some(worst.map_or(found, |worst| difference::worse(worst, found)));
    }
    let Equivalence { max_abs_diff, tolerance } = worst.expect("there are two probe batches");
    Ok(Reload { batches: PROBE_BATCHES.map(|batch| batch as u32).to_vec(), max_abs_diff, tolerance })
}

/// The probes `BATCH.KIND.0`, `BATCH.KIND.1` and so on.
fn numbered(probes: &HashMap<String, Tensor>, batch: i64, kind: &str) -> Vec<Tensor> {
    (0..)
        .map_while(|number: usize| probes.get(&format!("{batch}.{kind}.{number}")))
        .map(Tensor::shallow_clone)
        .collect()
}

fn report(
    task: &Task,
    history: &History,
    graph: &Graph,
    candidate: &Candidate,
    reload: Reload,
    (base_latency, pruned_latency): (Latency, Latency),
) -> Result<Report, Error> {
    let History { import, encoder, search, screened, tuned, export, winner, seconds, reused, .. } = history;
    let candidates = history.candidates();
    let grouping = Grouping::of(graph);
    let base_costs = CostModel::of(graph, &grouping).full();
    let screened = screened
        .iter()
        .find(|screened| screened.candidate == *winner)
        .ok_or_else(|| Error::internal(format!("candidate {winner} was exported and never screened")))?;
    let tuned = tuned.iter().find(|tuned| tuned.candidate == *winner);
    let warnings = warnings(task.device, history, base_costs, candidate.costs(), &base_latency, &pruned_latency);
    let network = |costs: Costs, bytes, accuracy, latency_ms| NetworkReport {
        macs: costs.macs,
        params: costs.params,
        bytes,
        accuracy,
        latency_ms,
    };
    let removed = [Metric::Flops, Metric::Params, Metric::Channels]
        .map(|metric| (metric.field().to_owned(), reduction(metric, base_costs, candidate.costs())));
    Ok(Report {
        spec: task.spec.clone(),
        winner: candidate.origin.clone(),
        spearman_rho: correlation(&candidates, |candidate| candidate.similarity).map(|found| found.rho),
        similarity_correlation: correlation(&candidates, |candidate| candidate.similarity),
        calibrated_correlation: correlation(&candidates, |candidate| Some(-candidate.predicted_divergence?)),
        search: search.clone(),
        encoder: encoder.clone(),
        base: network(base_costs, import.bytes, import.accuracy, base_latency),
        pruned: network(candidate.costs(), export.pruned_bytes, export.accuracy, pruned_latency),
        reduction: removed.into(),
        layers: layer_widths(graph, &grouping, &candidate.configuration),
        kept: task.cut(graph, candidate)?.kept,
        equivalence: screened.equivalence,
        import_max_abs_diff: import.max_abs_diff,
        reload,
        screened_accuracy: screened.accuracy,
        epochs: tuned.map(|tuned| tuned.epochs.clone()).unwrap_or_default(),
        best_epoch: tuned.map(|tuned| tuned.best_epoch),
        candidates,
        seconds: seconds.clone(),
        reused: *reused,
        versions: versions(),
        seed: task.spec.seed,
        model_sha256: import.sha256.clone(),
        warnings,
    })
}

/// Spearman's rho between a prediction and the accuracy that the screen measured.
fn correlation(
    candidates: &[CandidateReport],
    prediction: impl Fn(&CandidateReport) -> Option<f64>,
) -> Option<RankCorrelation> {
    let pairs = candidates.iter().filter_map(|candidate| Some((prediction(candidate)?, candidate.screened_accuracy?)));
    let (predicted, measured): (Vec<f64>, Vec<f64>) = pairs.unzip();
    spearman(&predicted, &measured)
}

/// What made the file, for the report and for the file itself.
pub fn versions() -> BTreeMap<String, String> {
    [
        ("secateur", env!("CARGO_PKG_VERSION").to_owned()),
        ("libtorch", torch::runtime::version()),
        ("protocol", secateur_core::task::PROTOCOL.to_string()),
    ]
    .map(|(name, version)| (name.to_owned(), version))
    .into()
}

/// What a reader of the report could otherwise miss.
fn warnings(
    device: Device,
    history: &History,
    base: Costs,
    pruned: Costs,
    base_latency: &Latency,
    pruned_latency: &Latency,
) -> Vec<String> {
    let mut warnings = Vec::new();
    let fewer_macs = reduction(Metric::Flops, base, pruned);
    if fewer_macs > 0.05 && pruned_latency.p50 > 0.95 * base_latency.p50 {
        warnings.push(format!(
            "MACs fell by {:.0} %, but the median latency at batch 1 on {} did not: {:.3} ms before, {:.3} ms after.",
            fewer_macs * 100.0,
            latency::device_name(device),
            base_latency.p50,
            pruned_latency.p50
        ));
    }
    match (history.import.accuracy, history.export.accuracy) {
        (Some(before), Some(after)) if before.val - after.val > 0.05 => warnings.push(format!(
            "Validation accuracy fell from {:.4} to {:.4}; `target.max_accuracy_drop` would have refused that.",
            before.val, after.val
        )),
        (None, _) | (_, None) => {
            warnings.push("Accuracy was not measured: the job has no labelled data set.".to_owned());
        }
        _ => {}
    }
    if let Some(correlation) = correlation(&history.candidates(), |candidate| candidate.similarity)
        && correlation.rho.abs() < 0.3
    {
        warnings.push(format!(
            "The encoder's similarity hardly ranks: Spearman's rho with the screened accuracy is {:.2} (p {:.2}).",
            correlation.rho, correlation.p_value
        ));
    }
    if history.tuned.iter().any(|tuned| tuned.candidate == history.winner && tuned.best_epoch == 0) {
        warnings.push("No epoch of fine-tuning was better than the network before it, which was kept.".to_owned());
    }
    warnings
}

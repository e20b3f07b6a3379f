//! The written file, in a process that never saw the network: reloaded, compared, timed, reported.

use std::collections::{BTreeMap, HashMap};

use secateur_core::candidate::Candidate;
use secateur_core::cost::{CostModel, reduction};
use secateur_core::graph::Graph;
use secateur_core::group::Grouping;
use secateur_core::importance::groups_without;
use secateur_core::latency::LatencyTable;
use secateur_core::report::{
    CandidateReport, Costs, Equivalence, Frontier, Latency, LatencyReport, NetworkReport, Reload, RepairReport, Report,
    warnings,
};
use secateur_core::spec::Metric;
use secateur_core::statistics::{RankCorrelation, spearman};
use secateur_core::summary::layer_widths;
use secateur_core::task::{History, TaskResult, VerifyResult, file};
use tch::Tensor;

use super::export::PROBE_BATCHES;
use super::{Finished, Task};
use crate::error::Error;
use crate::torch::{self, Reloaded};
use crate::{difference, latency, sandbox, weights};

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
        let found = difference::between(&outputs, &numbered(probes, batch, "output")).map_err(|error| match error {
            Error::Rejected(_) => error,
            other => Error::internal(format!("the reloaded file at batch {batch}: {other}")),
        })?;
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
    let History {
        import,
        latency,
        encoder,
        search,
        screened,
        tuned,
        export,
        winner,
        seconds,
        devices,
        reused,
        channel_choice,
        ..
    } = history;
    let candidates = history.candidates();
    let grouping = Grouping::of(graph);
    let base_costs = CostModel::of(graph, &grouping).full();
    let screened = screened
        .iter()
        .find(|screened| screened.candidate == *winner)
        .ok_or_else(|| Error::internal(format!("candidate {winner} was exported and never screened")))?;
    let tuned = tuned.iter().find(|tuned| tuned.candidate == *winner);
    let latency = latency.as_deref().map(|table| {
        let widths = candidate.configuration.widths();
        predicted_and_measured(table, &table.costs(graph, &grouping), &widths, &base_latency, &pruned_latency)
    });
    let network = |costs: Costs, bytes, accuracy, latency_ms| NetworkReport {
        macs: costs.macs,
        params: costs.params,
        bytes,
        accuracy,
        latency_ms,
    };
    let removed = Metric::ALL.map(|metric| {
        let share = match metric {
            Metric::Latency => measured_reduction(&base_latency, &pruned_latency),
            Metric::Flops | Metric::Params | Metric::Channels => reduction(metric, base_costs, candidate.costs()),
        };
        (metric.field().to_owned(), share)
    });
    let screened_accuracy = |candidate: &CandidateReport| candidate.screened_accuracy;
    let repaired_accuracy = |candidate: &CandidateReport| candidate.repaired_accuracy;
    let similarity = |candidate: &CandidateReport| candidate.similarity;
    let calibrated = |candidate: &CandidateReport| Some(-candidate.predicted_divergence?);
    let regression = |candidate: &CandidateReport| candidate.predicted_value;
    let similarity_correlation = correlation(&candidates, similarity, screened_accuracy);
    let has_labels = import.accuracy.is_some();
    let repair = history.repair_steps.filter(|_| has_labels).map(|steps| RepairReport {
        steps,
        screened: correlation(&candidates, screened_accuracy, repaired_accuracy),
        similarity: correlation(&candidates, similarity, repaired_accuracy),
        calibrated: correlation(&candidates, calibrated, repaired_accuracy),
        regression: correlation(&candidates, regression, repaired_accuracy),
    });
    let mut report = Report {
        spec: task.spec.clone(),
        winner: candidate.origin.clone(),
        spearman_rho: similarity_correlation.map(|found| found.rho),
        similarity_correlation,
        calibrated_correlation: correlation(&candidates, calibrated, screened_accuracy),
        regression_correlation: correlation(&candidates, regression, screened_accuracy),
        repair,
        search: search.clone(),
        encoder: encoder.clone(),
        base: network(base_costs, import.bytes, import.accuracy, base_latency),
        pruned: network(candidate.costs(), export.pruned_bytes, export.accuracy, pruned_latency),
        latency,
        reduction: removed.into(),
        layers: layer_widths(graph, &grouping, &candidate.configuration),
        kept: task.cut(graph, candidate)?.kept,
        equivalence: screened.equivalence,
        import_max_abs_diff: import.max_abs_diff,
        reload,
        screened_accuracy: screened.accuracy,
        epochs: tuned.map(|tuned| tuned.epochs.clone()).unwrap_or_default(),
        best_epoch: tuned.map(|tuned| tuned.best_epoch),
        frontier: Frontier::of(&candidates),
        channel_choice: channel_choice.clone(),
        data: import.data.as_deref().copied(),
        candidates,
        seconds: seconds.clone(),
        devices: devices.clone(),
        reused: *reused,
        sandbox: sandbox::in_force(),
        versions: versions(),
        seed: task.spec.seed,
        model_sha256: import.sha256.clone(),
        warnings: Vec::new(),
    };
    let ordered_by_l1 = groups_without(task.spec.importance.criterion, graph, &grouping);
    report.warnings = warnings(&report, &ordered_by_l1);
    Ok(report)
}

fn measured_reduction(base: &Latency, pruned: &Latency) -> f64 {
    1.0 - pruned.p50 / base.p50
}

fn predicted_and_measured(
    table: &LatencyTable,
    costs: &CostModel,
    widths: &[usize],
    base: &Latency,
    pruned: &Latency,
) -> LatencyReport {
    LatencyReport {
        predicted_reduction: reduction(Metric::Latency, costs.full(), costs.at(widths)),
        measured_reduction: measured_reduction(base, pruned),
        setting: table.setting.clone(),
        base_ms: base.p50,
        pruned_ms: pruned.p50,
        predicted_base_ms: table.base_ms,
        predicted_pruned_ms: table.at(widths),
        fit: table.fit,
    }
}

/// Spearman's rho between a prediction and what was measured.
fn correlation(
    candidates: &[CandidateReport],
    prediction: impl Fn(&CandidateReport) -> Option<f64>,
    measurement: impl Fn(&CandidateReport) -> Option<f64>,
) -> Option<RankCorrelation> {
    let pairs = candidates.iter().filter_map(|candidate| Some((prediction(candidate)?, measurement(candidate)?)));
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

//! The report, put together from what the stages have found out.

use std::collections::BTreeMap;

use super::candidate::CandidateReport;
use super::compute::compute;
use super::frontier::Frontier;
use super::history::History;
use super::warnings::warnings;
use super::{LatencyReport, NetworkReport, Reload, RepairReport, Report};
use crate::configuration::Candidate;
use crate::cost::{CostModel, Costs, Metric, reduction};
use crate::graph::Graph;
use crate::group::Grouping;
use crate::importance::groups_without;
use crate::inspection::layer_widths;
use crate::latency::{Latency, LatencyTable};
use crate::recovery::{self, JudgeReport};
use crate::sandbox::Sandbox;
use crate::spec::{JobSpec, JudgeSpec};
use crate::statistics::{RankCorrelation, spearman};
use crate::surgery::{self, ConfigurationError};

/// What the stage `verify` finds out about the written file.
#[derive(Debug, Clone, PartialEq)]
pub struct Verified {
    /// The comparison with the network in memory.
    pub reload: Reload,
    /// Of the original.
    pub base_latency: Latency,
    /// Of the pruned file.
    pub pruned_latency: Latency,
    /// What confined the engine.
    pub sandbox: Sandbox,
    /// Of the programs that took part, by name.
    pub versions: BTreeMap<String, String>,
}

/// A report that cannot be put together. Always our bug.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssembleError {
    /// A candidate that was never screened was exported.
    #[error("candidate {0} was exported and never screened")]
    NotScreened(usize),
    /// The exported candidate does not fit the network.
    #[error("candidate {candidate}: {error}")]
    Configuration {
        /// Its index.
        candidate: usize,
        /// What does not fit.
        error: ConfigurationError,
    },
}

/// Puts the report of a job together: `graph` is the original network's and `candidate` the exported one.
///
/// # Errors
/// The history does not belong to the candidate or to the graph.
pub fn assemble(
    spec: &JobSpec,
    history: &History,
    graph: &Graph,
    candidate: &Candidate,
    verified: Verified,
) -> Result<Report, AssembleError> {
    let Verified { reload, base_latency, pruned_latency, sandbox, versions } = verified;
    let grouping = Grouping::of(graph);
    let base_costs = CostModel::of(graph, &grouping).full();
    let winner = history.winner;
    let screened = history.screened.iter().find(|screened| screened.candidate == winner);
    let screened = screened.ok_or(AssembleError::NotScreened(winner))?;
    let tuned = history.tuned.iter().find(|tuned| tuned.candidate == winner);
    let cut = surgery::cut(graph, &grouping, &candidate.configuration)
        .map_err(|error| AssembleError::Configuration { candidate: candidate.index, error })?;

    let latency = history.latency.as_deref().map(|table| {
        let widths = candidate.configuration.widths();
        predicted_and_measured(table, &table.costs(graph, &grouping), &widths, &base_latency, &pruned_latency)
    });
    let removed = Metric::ALL.map(|metric| {
        let share = match metric {
            Metric::Latency => measured_reduction(&base_latency, &pruned_latency),
            Metric::Flops | Metric::Params | Metric::Channels => reduction(metric, base_costs, candidate.costs()),
        };
        (metric.field().to_owned(), share)
    });
    let network = |costs: Costs, bytes, accuracy, latency_ms| NetworkReport {
        macs: costs.macs,
        params: costs.params,
        bytes,
        accuracy,
        latency_ms,
    };

    let candidates = history.candidates();
    let similarity_correlation = correlation(&candidates, similarity, screened_accuracy);
    let original = &history.original;
    let mut report = Report {
        spec: spec.clone(),
        winner: candidate.origin,
        spearman_rho: similarity_correlation.map(|found| found.rho),
        similarity_correlation,
        sensitivity_correlation: correlation(&candidates, sensitivity, screened_accuracy),
        regression_correlation: correlation(&candidates, regression, screened_accuracy),
        repair: repair(history, &candidates),
        search: history.search.clone(),
        encoder: history.encoder.clone(),
        base: network(base_costs, original.bytes, original.accuracy, base_latency),
        pruned: network(candidate.costs(), history.exported.bytes, history.exported.accuracy, pruned_latency),
        metric: history.exported.metric.clone(),
        judge: judge(spec, history),
        closed_form: screened.closed_form,
        outputs: recovery::objectives(
            graph,
            spec.outputs(),
            original.data.as_ref().and_then(|data| data.supervision.as_ref()),
        )
        .map(|objectives| objectives.into_iter().map(|objective| objective.output).collect())
        .unwrap_or_default(),
        export: history.exported.export.clone(),
        sizes: history.exported.sizes.clone(),
        latency,
        reduction: removed.into(),
        layers: layer_widths(graph, &grouping, &candidate.configuration),
        kept: cut.kept,
        equivalence: screened.equivalence,
        import_max_abs_diff: original.max_abs_diff,
        reload,
        screened_accuracy: screened.accuracy,
        epochs: tuned.map(|tuned| tuned.epochs.clone()).unwrap_or_default(),
        best_epoch: tuned.map(|tuned| tuned.best_epoch),
        recipe: tuned.and_then(|tuned| tuned.recipe),
        compute: compute(history, &candidates, base_costs.macs),
        frontier: Frontier::of(&candidates),
        channel_choice: history.channel_choice.clone(),
        data: original.data.clone(),
        candidates,
        seconds: history.seconds.clone(),
        times: history.times.clone(),
        devices: history.devices.clone(),
        reused: history.reused,
        sandbox,
        versions,
        seed: spec.seed,
        model_sha256: original.sha256.clone(),
        warnings: Vec::new(),
    };
    report.warnings = warnings(&report, &groups_without(spec.importance.criterion, graph, &grouping));
    Ok(report)
}

/// `None` without a judge.
fn judge(spec: &JobSpec, history: &History) -> Option<JudgeReport> {
    let JudgeSpec { name, higher_is_better, .. } = spec.judge.as_ref()?;
    let judgement = history.judgement.clone()?;
    Some(JudgeReport { name: name.clone(), higher_is_better: *higher_is_better, judgement })
}

fn screened_accuracy(candidate: &CandidateReport) -> Option<f64> {
    candidate.screened_accuracy.or(candidate.screened_metric)
}

fn repaired_accuracy(candidate: &CandidateReport) -> Option<f64> {
    candidate.repaired_accuracy.or(candidate.repaired_metric)
}

fn similarity(candidate: &CandidateReport) -> Option<f64> {
    candidate.similarity
}

fn sensitivity(candidate: &CandidateReport) -> Option<f64> {
    Some(-candidate.predicted_divergence?)
}

fn regression(candidate: &CandidateReport) -> Option<f64> {
    candidate.predicted_value
}

/// `None` when nothing was repaired.
fn repair(history: &History, candidates: &[CandidateReport]) -> Option<RepairReport> {
    history.repair_steps.map(|steps| RepairReport {
        steps,
        screened: correlation(candidates, screened_accuracy, repaired_accuracy),
        similarity: correlation(candidates, similarity, repaired_accuracy),
        sensitivity: correlation(candidates, sensitivity, repaired_accuracy),
        regression: correlation(candidates, regression, repaired_accuracy),
    })
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

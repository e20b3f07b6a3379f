//! What a reader of the report could otherwise miss, in sentences that hold the figures.
//!
//! Each warning has a function of its own, which says `None` when there is nothing to say.

use super::{CandidateReport, LatencyReport, RepairReport, Report};
use crate::importance::Criterion;
use crate::inspection::ExportKind;
use crate::recovery::{DecidedBy, JudgeReport, MetricReport};
use crate::search::ranking::RankingName;
use crate::spec::Method;
use crate::statistics::{RankCorrelation, Spread, binomial_standard_error};

/// Below this a rank correlation is of no use, significant or not.
const LEAST_RHO: f64 = 0.3;

/// Above this probability of chance a rank correlation counts as chance.
const SIGNIFICANCE: f64 = 0.05;

/// The warnings of a report. `ordered_by_l1` names the groups in which the spec's criterion found nothing to measure.
pub fn warnings(report: &Report, ordered_by_l1: &[&str]) -> Vec<String> {
    [
        program(report),
        judge(report),
        latency(report),
        unsteady_latency(report),
        latency_prediction(report),
        latency_setting(report),
        accuracy(report),
        classes(report),
        unread_samples(report),
        ranking(
            "similarity",
            "The encoder's similarity",
            judged(report, report.similarity_correlation, |repair| repair.similarity),
        ),
        sensitivity(report),
        regression(report),
        noise(report),
        channel_choice(report),
        baseline(report),
        criterion(report, ordered_by_l1),
        no_better_epoch(report),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn program(report: &Report) -> Option<String> {
    let export = report.export.as_ref()?;
    if export.kind == ExportKind::Patched {
        return (!export.lost.is_empty()).then(|| export.lost.join(" "));
    }
    let reason = export.reason.as_deref().unwrap_or("it could not be patched");
    Some(format!("The file is a recording of one run of the program, since {reason}. {}", export.lost.join(" ")))
}

fn judge(report: &Report) -> Option<String> {
    let JudgeReport { judgement, .. } =
        report.judge.as_ref().filter(|judge| judge.judgement.decided_by == DecidedBy::Metric)?;
    let reason = judgement.reason.as_deref().unwrap_or("The judge did not score every finalist.");
    Some(format!("The job's own metric chose the network, not the judge. {reason}"))
}

fn latency(report: &Report) -> Option<String> {
    let (before, after) = (&report.base.latency_ms, &report.pruned.latency_ms);
    let fewer_macs = 1.0 - report.pruned.macs as f64 / report.base.macs.max(1) as f64;
    (fewer_macs > 0.05 && after.p50 > 0.95 * before.p50).then(|| {
        format!(
            "MACs fell by {:.0} %, but the median latency at batch {} on {} did not: {:.3} ms before, {:.3} ms after.",
            fewer_macs * 100.0,
            after.batch,
            after.device,
            before.p50,
            after.p50
        )
    })
}

/// A slow run may take so many times as long as the median one without a warning.
const STEADY: f64 = 2.0;

fn unsteady_latency(report: &Report) -> Option<String> {
    let (before, after) = (&report.base.latency_ms, &report.pruned.latency_ms);
    [before, after].iter().any(|latency| latency.p95 > STEADY * latency.p50).then(|| {
        format!(
            "The latencies differ from run to run, as on a machine with other work: before, half of the runs took at most {:.3} ms and one in twenty over \
             {:.3} ms; after, {:.3} and {:.3} ms. Measure them again where nothing else runs.",
            before.p50, before.p95, after.p50, after.p95
        )
    })
}

/// A measured reduction may fall short of the predicted one by this much without a warning.
const LATENCY_SHORTFALL: f64 = 0.05;

fn latency_prediction(report: &Report) -> Option<String> {
    let LatencyReport { predicted_reduction, measured_reduction, .. } = report.latency.as_ref()?;
    (predicted_reduction - measured_reduction > LATENCY_SHORTFALL).then(|| {
        format!(
            "The latency table predicted {:.1} % less latency, {:.1} % was measured.",
            predicted_reduction * 100.0,
            measured_reduction * 100.0
        )
    })
}

fn latency_setting(report: &Report) -> Option<String> {
    let table = &report.latency.as_ref()?.setting;
    let result = &report.pruned.latency_ms;
    ((table.threads, &table.device) != (result.threads, &result.device)).then(|| {
        format!(
            "The latency table was measured on {} with {} threads, the latency of the result on {} with {}.",
            table.device, table.threads, result.device, result.threads
        )
    })
}

fn accuracy(report: &Report) -> Option<String> {
    match (report.base.accuracy, report.pruned.accuracy) {
        (Some(before), Some(after)) => (before.val - after.val > 0.05).then(|| {
            format!(
                "Validation accuracy fell from {:.4} to {:.4}; `target.max_metric_drop` would have refused that.",
                before.val, after.val
            )
        }),
        (None, _) | (_, None) => match &report.metric {
            Some(MetricReport { name, base, pruned, .. }) => (base.val - pruned.val > 0.05).then(|| {
                let is_labelled = report.data.as_ref().is_some_and(|data| data.supervision.is_some());
                let reason = if is_labelled { "" } else { "Accuracy was not measured, since the data set has no labels. " };
                format!(
                    "{reason}The validation metric `{}` fell from {:.4} to {:.4}; `target.max_metric_drop` would have refused that.",
                    name.as_str(),
                    base.val,
                    pruned.val
                )
            }),
            None => Some("Accuracy was not measured: the job has no data set.".to_owned()),
        },
    }
}

fn unread_samples(report: &Report) -> Option<String> {
    let source = report.data.as_ref()?.source.as_ref()?;
    let first = source.first_bad.first()?;
    Some(format!(
        "{} samples could not be read and were left out; the first is `{}`: {}.",
        source.bad_samples,
        first.name,
        first.reason.trim_end_matches('.')
    ))
}

fn classes(report: &Report) -> Option<String> {
    let data = report.data.as_ref()?;
    let (classes, outputs) = (data.classes?, data.outputs?);
    (classes < outputs).then(|| {
        format!(
            "The labels name {classes} classes, the model tells {outputs} apart: what pruning does to the others was not \
             measured."
        )
    })
}

/// A correlation and what it is with: the accuracy after the repair where there was one.
type Judged = Option<(RankCorrelation, &'static str)>;

fn judged(
    report: &Report,
    screened: Option<RankCorrelation>,
    repaired: impl Fn(&RepairReport) -> Option<RankCorrelation>,
) -> Judged {
    match &report.repair {
        Some(repair) => Some((repaired(repair)?, "repaired")),
        None => Some((screened?, "screened")),
    }
}

fn ranking(name: &str, subject: &str, judged: Judged) -> Option<String> {
    let (RankCorrelation { rho, p_value, samples }, what) = judged?;
    let figures = format!("Spearman's rho with the {what} accuracy is {rho:.2} (p {p_value:.2}, n {samples})");
    if p_value > SIGNIFICANCE {
        Some(format!("{subject} ranks no better than chance: {figures}."))
    } else if rho < -LEAST_RHO {
        Some(format!("{subject} ranks the wrong way round: {figures}. Do not choose by `{name}` for this network."))
    } else if rho < LEAST_RHO {
        Some(format!("{subject} hardly ranks: {figures}."))
    } else {
        None
    }
}

/// Only where it decided what was screened.
fn sensitivity(report: &Report) -> Option<String> {
    report.search.as_ref().filter(|search| search.ranking == RankingName::Sensitivity)?;
    let judged = judged(report, report.sensitivity_correlation, |repair| repair.sensitivity);
    ranking("sensitivity", "The sum of sensitivities", judged)
}

fn regression(report: &Report) -> Option<String> {
    let judged = judged(report, report.regression_correlation, |repair| repair.regression);
    ranking("regression", "The fitted encoder's prediction", judged)
}

/// Of what chose the networks that were trained further: the repair, or without one the screen.
fn noise(report: &Report) -> Option<String> {
    let accuracies = |of: fn(&CandidateReport) -> Option<f64>| report.candidates.iter().filter_map(of).collect();
    let repaired: Vec<f64> = accuracies(|candidate| candidate.repaired_accuracy);
    let (what, measured) = match repaired[..] {
        [] => ("screen", accuracies(|candidate| candidate.screened_accuracy)),
        _ => ("repair", repaired),
    };
    let Spread { mean, std, n } = Spread::of(&measured).filter(|spread| spread.n >= 3)?;
    let samples = report.data.as_ref()?.samples.val;
    let error = binomial_standard_error(mean, samples);
    (std <= error).then(|| {
        format!(
            "The {what} could not tell its {n} candidates apart: their accuracies (mean {mean:.4}) have a standard deviation \
             of {std:.4}, the error of measuring one on {samples} validation samples is {error:.4}."
        )
    })
}

fn channel_choice(report: &Report) -> Option<String> {
    let choice = report.channel_choice.as_ref().filter(|choice| choice.is_within_spread())?;
    Some(format!(
        "Channels of large L1 norm are no better than random ones before tuning: {} {:.4} against {:.4} ± {:.4} over {} \
         draws at the widths of candidate {}.",
        choice.measure.as_str(),
        choice.l1,
        choice.random.mean,
        choice.random.std,
        choice.random.n,
        choice.candidate
    ))
}

fn baseline(report: &Report) -> Option<String> {
    if report.spec.method != Method::Sacp || !report.winner.is_baseline() {
        return None;
    }
    let winner = report.winner.as_str();
    if report.judge.as_ref().is_some_and(|judge| judge.judgement.decided_by == DecidedBy::Judge) {
        return Some(format!(
            "The winner is the baseline `{winner}`: the judge gave no searched finalist a better score."
        ));
    }
    let searched = report.candidates.iter().filter(|candidate| !candidate.origin.is_baseline()).count();
    Some(format!(
        "The winner is the baseline `{winner}`: none of the {searched} searched candidates was better on validation. Baselines \
         always take part, so that a job is no worse on validation than any of them was measured to be."
    ))
}

fn criterion(report: &Report, ordered_by_l1: &[&str]) -> Option<String> {
    // The classical methods have their own, whatever the spec holds, and without data `reconstruction` is L1 by definition.
    let is_l1 = report.spec.importance.criterion == Criterion::Reconstruction && report.data.is_none();
    let first = ordered_by_l1.first().filter(|_| report.spec.method == Method::Sacp && !is_l1)?;
    Some(format!(
        "`importance.criterion` `{}` finds nothing to measure in {} of the channel groups (`{first}` is one); their channels \
         are ordered by L1.",
        report.spec.importance.criterion.as_str(),
        ordered_by_l1.len()
    ))
}

fn no_better_epoch(report: &Report) -> Option<String> {
    (report.best_epoch == Some(0))
        .then(|| "No epoch of fine-tuning was better than the network before it, which was kept.".to_owned())
}

#[cfg(test)]
mod tests;

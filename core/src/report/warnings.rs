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
mod tests {
    use super::*;
    use crate::configuration::Origin;
    use crate::dataset::SplitCounts;
    use crate::latency::{LatencyTable, Setting};
    use crate::recovery::{Accuracy, ChannelChoice, DataReport, HeldOut, Judgement, Measure};
    use crate::search::SearchReport;

    /// A report that gives no cause for a warning: with `sacp` a baseline that wins is one.
    fn report() -> Report {
        Report { winner: Origin::Sensitivity, ..Report::sample() }
    }

    /// The one warning after an edit.
    #[track_caller]
    fn warning(edit: impl FnOnce(&mut Report)) -> String {
        let mut report = report();
        edit(&mut report);
        let found = warnings(&report, &[]);
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].clone()
    }

    #[track_caller]
    fn assert_silent(edit: impl FnOnce(&mut Report)) {
        let mut report = report();
        edit(&mut report);
        assert_eq!(warnings(&report, &[]), [] as [&str; 0]);
    }

    fn screened(origin: Origin, accuracy: f64) -> CandidateReport {
        CandidateReport {
            index: 0,
            origin,
            macs: 100,
            params: 10,
            reduction: 0.5,
            widths: Vec::new(),
            similarity: None,
            predicted_divergence: None,
            predicted_latency_ms: None,
            predicted_value: None,
            screened_accuracy: Some(accuracy),
            repaired_accuracy: None,
            light_accuracy: None,
            tuned_accuracy: None,
            screened_metric: None,
            repaired_metric: None,
            light_metric: None,
            tuned_metric: None,
        }
    }

    fn data(val: usize, classes: usize, outputs: usize) -> Option<DataReport> {
        let samples = SplitCounts { train: 1000, val, test: 100 };
        Some(DataReport { samples, classes: Some(classes), outputs: Some(outputs), supervision: None, source: None })
    }

    #[test]
    fn a_good_job_gives_no_cause_for_a_warning() {
        assert_silent(|_| {});
    }

    /// 40 % predicted at one thread of a processor.
    fn latency(measured_reduction: f64, threads: u32) -> Option<LatencyReport> {
        let setting = Setting { batch: 1, threads, device: "cpu".to_owned() };
        let fit = LatencyTable::sample().fit;
        Some(LatencyReport {
            predicted_reduction: 0.4,
            measured_reduction,
            setting,
            base_ms: 2.0,
            pruned_ms: 1.0,
            predicted_base_ms: 2.0,
            predicted_pruned_ms: 1.2,
            fit,
        })
    }

    #[test]
    fn a_latency_that_fell_short_of_the_prediction_is_said() {
        assert_silent(|report| report.latency = latency(0.36, 1));
        let text = warning(|report| report.latency = latency(0.3, 1));
        assert!(text.contains("predicted 40.0 %") && text.contains("30.0 % was measured"), "{text}");
    }

    #[test]
    fn a_table_from_another_setting_is_said() {
        let text = warning(|report| report.latency = latency(0.4, 8));
        assert!(text.contains("cpu with 8 threads"), "{text}");
    }

    #[test]
    fn a_latency_that_did_not_fall_with_the_macs_is_said() {
        let text = warning(|report| report.pruned.latency_ms.p50 = 2.1);
        assert!(text.contains("MACs fell by 50 %") && text.contains("2.100 ms after"), "{text}");
    }

    #[test]
    fn latencies_that_differ_from_run_to_run_are_said() {
        let text = warning(|report| report.base.latency_ms.p95 = 2.1 * report.base.latency_ms.p50);
        assert!(text.contains("differ from run to run") && text.contains("one in twenty over 4.200 ms"), "{text}");
        assert_silent(|report| report.base.latency_ms.p95 = 1.9 * report.base.latency_ms.p50);
    }

    #[test]
    fn an_accuracy_that_fell_far_or_was_not_measured_is_said() {
        let text = warning(|report| report.pruned.accuracy = Some(Accuracy { val: 0.8, test: 0.8 }));
        assert!(text.contains("from 0.9000 to 0.8000"), "{text}");
        assert!(warning(|report| report.base.accuracy = None).contains("was not measured"));
        let held_out = |val| HeldOut { val, test: val };
        let text = warning(|report| {
            report.base.accuracy = None;
            let (base, pruned) = (held_out(1.0), held_out(0.7));
            report.metric =
                Some(MetricReport { name: Measure::Cosine, higher_is_better: true, base, pruned, others: Vec::new() });
        });
        assert!(text.contains("has no labels") && text.contains("`cosine` fell from 1.0000 to 0.7000"), "{text}");
    }

    #[test]
    fn a_judge_that_did_not_decide_is_said_with_the_reason() {
        let judge = |judgement| Some(JudgeReport { name: None, higher_is_better: true, judgement });
        let text = warning(|report| report.judge = judge(Judgement::over(&[2, 0], &[], "The judge had 60 s")));
        assert!(
            text.starts_with("The job's own metric chose the network, not the judge. The judge had 60 s"),
            "{text}"
        );
        assert_silent(|report| report.judge = judge(Judgement::over(&[], &[], "unused")));
    }

    #[test]
    fn labels_of_fewer_classes_than_the_model_has_are_said() {
        let text = warning(|report| report.data = data(100, 3, 10));
        assert!(text.contains("3 classes") && text.contains("10 apart"), "{text}");
        assert_silent(|report| report.data = data(100, 10, 10));
    }

    #[test]
    fn a_ranking_is_judged_by_its_significance_then_its_strength_and_its_sign() {
        let of = |rho, p_value| Some(RankCorrelation { rho, p_value, samples: 30 });
        assert!(warning(|report| report.similarity_correlation = of(0.34, 0.07)).contains("than chance"));
        assert!(warning(|report| report.similarity_correlation = of(0.2, 0.01)).contains("hardly ranks"));
        assert!(warning(|report| report.similarity_correlation = of(-0.6, 0.001)).contains("wrong way round"));
        assert_silent(|report| report.similarity_correlation = of(0.6, 0.001));
        // A repair knows better than the screen what the networks are worth.
        let repair =
            RepairReport { steps: 50, screened: None, similarity: of(0.1, 0.6), sensitivity: None, regression: None };
        let text = warning(|report| {
            report.similarity_correlation = of(0.6, 0.001);
            report.repair = Some(repair);
        });
        assert!(text.contains("repaired accuracy is 0.10"), "{text}");
    }

    /// A spec says `sensitivity` by default even where none was measured, or a fitted encoder ranked.
    #[test]
    fn the_sum_of_sensitivities_is_judged_only_where_it_ranked() {
        let ranked_by = |ranking| SearchReport {
            ranking,
            candidates: 1000,
            refinement: None,
            log10_space: 9.0,
            band: [0.5, 0.51],
            min_distance: 3,
            seconds: 1.0,
            threads: 1,
            device: "cpu".to_owned(),
        };
        let chance = Some(RankCorrelation { rho: 0.1, p_value: 0.6, samples: 30 });
        let text = warning(|report| {
            report.search = Some(ranked_by(RankingName::Sensitivity));
            report.sensitivity_correlation = chance;
        });
        assert!(text.contains("The sum of sensitivities ranks no better than chance"), "{text}");
        for other in [RankingName::Regression, RankingName::Similarity] {
            assert_silent(|report| {
                report.search = Some(ranked_by(other));
                report.sensitivity_correlation = chance;
            });
        }
    }

    #[test]
    fn a_spread_within_the_error_of_measurement_is_said() {
        let accuracies = |values: [f64; 3]| values.map(|value| screened(Origin::Sensitivity, value)).to_vec();
        let text = warning(|report| {
            report.data = data(100, 10, 10);
            report.candidates = accuracies([0.48, 0.50, 0.52]);
        });
        // sqrt(0.5 * 0.5 / 100) is 0.05.
        assert!(
            text.contains("0.0200") && text.contains("0.0500") && text.contains("100 validation samples"),
            "{text}"
        );
        assert_silent(|report| {
            report.data = data(100, 10, 10);
            report.candidates = accuracies([0.3, 0.5, 0.7]);
        });
    }

    #[test]
    fn a_choice_of_channels_that_is_no_better_than_chance_is_said() {
        let choice = |l1: f64| ChannelChoice {
            candidate: 4,
            measure: Measure::Accuracy,
            l1,
            own: l1,
            own_criterion: Criterion::L1,
            random: Spread { mean: 0.5, std: 0.05, n: 4 },
            l1_gap: l1 - 0.5,
        };
        assert!(warning(|report| report.channel_choice = Some(choice(0.53))).contains("0.5000 ± 0.0500 over 4 draws"));
        assert_silent(|report| report.channel_choice = Some(choice(0.6)));
    }

    #[test]
    fn a_winner_that_is_a_baseline_is_explained_as_the_guarantee() {
        let text = warning(|report| {
            report.winner = Origin::Uniform;
            report.candidates = vec![screened(Origin::Sensitivity, 0.5), screened(Origin::Uniform, 0.6)];
        });
        assert!(
            text.contains("none of the 1 searched") && text.contains("no worse on validation than any of them"),
            "{text}"
        );
        assert_silent(|report| {
            report.spec.method = Method::Uniform;
            report.winner = Origin::Uniform;
        });
        let text = warning(|report| {
            report.winner = Origin::Uniform;
            let judgement = Judgement::over(&[], &[], "unused");
            report.judge = Some(JudgeReport { name: None, higher_is_better: true, judgement });
        });
        assert!(text.ends_with("the judge gave no searched finalist a better score."), "{text}");
    }

    #[test]
    fn groups_that_the_criterion_says_nothing_about_are_counted() {
        let groups = ["classifier.0", "classifier.3"];
        let found = |change: &dyn Fn(&mut Report)| {
            let mut report = report();
            report.spec.importance.criterion = Criterion::BnScale;
            change(&mut report);
            criterion(&report, &groups)
        };
        let text = found(&|_| ()).unwrap();
        assert!(text.contains("2 of the channel groups (`classifier.0` is one)"), "{text}");
        assert_eq!(found(&|report| report.spec.method = Method::Uniform), None, "it has a criterion of its own");
        let without_data = |report: &mut Report| {
            report.data = None;
            report.spec.importance.criterion = Criterion::Reconstruction;
        };
        assert_eq!(found(&without_data), None, "without data that is L1");
    }

    #[test]
    fn fine_tuning_that_helped_nothing_is_said() {
        assert!(warning(|report| report.best_epoch = Some(0)).contains("No epoch"));
    }
}

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
    assert!(text.starts_with("The job's own metric chose the network, not the judge. The judge had 60 s"), "{text}");
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
    assert!(text.contains("0.0200") && text.contains("0.0500") && text.contains("100 validation samples"), "{text}");
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

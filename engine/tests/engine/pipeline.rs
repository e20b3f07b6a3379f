//! Whole jobs on the example networks, every task in its own process.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;

use secateur_core::configuration::Origin;
use secateur_core::graph::DType;
use secateur_core::output::OutputKind;
use secateur_core::recovery::Measure;
use secateur_core::rejection::Code;
use secateur_core::report::{CandidateReport, Report};
use secateur_core::search::ranking::RankingName;
use secateur_core::spec::EncoderObjective;
use secateur_core::stage::export::{CONFIG, PRUNED_MODEL, TRITON};
use secateur_core::stage::import::GRAPH;
use secateur_core::stage::tune::{TuneWork, tuned_weights};
use secateur_core::stage::{Stage, TaskResult, Work};
use secateur_core::testing::Net;
use secateur_core::wire::Outcome;
use secateur_engine::network::weights::save_named;
use tch::Tensor;
use tempfile::TempDir;
use zip::ZipArchive;

use crate::job::{Job, example, fixture};

const INPUT: &str = r#""input": {"mean": 4.9, "std": 6.0}"#;

pub(crate) fn spec(target: f64, fine_tune: &str) -> String {
    format!(
        r#"{{"target": {{"flops_reduction": {target}}}, "method": "global_l2", {INPUT}, "fine_tune": {fine_tune}}}"#
    )
}

/// The digits as `.safetensors`, with what `edit` changes.
pub(crate) fn digits(edit: impl FnOnce(&mut HashMap<String, Tensor>)) -> (TempDir, std::path::PathBuf) {
    let mut arrays: HashMap<String, Tensor> = Tensor::read_npz(example("digits.npz")).unwrap().into_iter().collect();
    edit(&mut arrays);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("digits.safetensors");
    save_named(&path, arrays.iter().map(|(name, tensor)| (name.as_str(), tensor))).unwrap();
    (folder, path)
}

fn without_labels(arrays: &mut HashMap<String, Tensor>) {
    arrays.retain(|name, _| name.starts_with('x'));
}

pub(crate) fn check_consistency(report: &Report) {
    assert!(report.equivalence.max_abs_diff <= report.equivalence.tolerance);
    assert!(report.reload.max_abs_diff <= report.reload.tolerance);
    assert_eq!(report.reload.batches, [1, 4]);
    assert!(report.base.latency_ms.p50 > 0.0 && report.base.latency_ms.p50 <= report.base.latency_ms.p95);
    assert!(report.pruned.bytes < report.base.bytes);
    assert!(report.pruned.params < report.base.params);
    let share = 1.0 - report.pruned.macs as f64 / report.base.macs as f64;
    assert!((share - report.reduction["flops_reduction"]).abs() < 1e-9);
    let layers: u64 = report.layers.iter().map(|layer| layer.macs_after).sum();
    assert_eq!(layers, report.pruned.macs, "the layers' MACs add up to the network's");
    for (tensor, axes) in &report.kept.0 {
        for indices in axes.values() {
            assert!(!indices.is_empty() && indices.is_sorted_by(|a, b| a < b), "{tensor}");
        }
    }
}

#[test]
fn resnet20_is_pruned_without_fine_tuning() {
    let mut job = Job::new(&spec(0.6, "null"), &example("resnet20-digits.pt"), Some(&example("digits.npz")));
    let report = job.report();
    check_consistency(&report);
    let reduction = report.reduction["flops_reduction"];
    assert!((0.59..=0.61).contains(&reduction), "{reduction}");
    assert!(report.base.accuracy.unwrap().test > 0.98);
    assert!(report.epochs.is_empty() && report.best_epoch.is_none());
    assert_eq!(report.screened_accuracy, report.pruned.accuracy.map(|accuracy| accuracy.val));

    let repair = report.closed_form.expect("the network was repaired in closed form");
    assert!(repair.used && repair.layers == 21 && repair.left == 0, "{repair:?}");
    assert_eq!(repair.repaired, report.screened_accuracy);
    assert!(repair.repaired > repair.without, "{repair:?}");
    let metric = report.metric.expect("the job has a data set");
    assert_eq!((metric.name, metric.higher_is_better), (Measure::Accuracy, true));
    assert_eq!(Some(metric.base.test), report.base.accuracy.map(|accuracy| accuracy.test));
    assert!(metric.pruned.test > 0.9, "{metric:?}");
    let kinds: Vec<OutputKind> = report.outputs.iter().map(|output| output.kind).collect();
    assert_eq!(kinds, [OutputKind::Categorical]);
}

#[test]
fn vgg_recovers_in_two_epochs() {
    let fine_tune = r#"{"epochs": 2, "batch_size": 64, "lr": 0.02}"#;
    let mut job = Job::new(&spec(0.5, fine_tune), &example("vgg-digits.pt"), Some(&example("digits.npz")));
    let report = job.report();
    check_consistency(&report);
    assert_eq!(report.epochs.len(), 2);
    let (before, after) = (report.screened_accuracy.unwrap(), report.pruned.accuracy.unwrap());
    assert!(after.val >= before, "{before} before, {after:?} after");
    assert!(after.test > 0.95, "{after:?}");
}

/// Small enough for a test, with every stage of the method.
const SACP: &str = r#""encoder": {"configs": 512, "epochs": 3}, "search": {"candidates": 100000, "top_m": 10, "top_k": 1}, "diagnostics": true, "recovery": {"closed_form": false}"#;

#[test]
fn sacp_wins_over_every_baseline_that_it_reports() {
    let spec = format!(
        r#"{{"target": {{"flops_reduction": 0.7}}, {INPUT}, {SACP}, "fine_tune": {{"epochs": 2, "light_epochs": 1, "lr": 0.02}}}}"#
    );
    let mut job = Job::new(&spec, &example("resnet20-digits.pt"), Some(&example("digits.npz")));
    let report = job.report();
    check_consistency(&report);
    let reduction = report.reduction["flops_reduction"];
    assert!((0.69..=0.71).contains(&reduction), "{reduction}");

    let encoder = report.encoder.expect("sacp trains an encoder");
    assert!(encoder.contrastive_accuracy.unwrap() > 0.95, "{encoder:?}");
    assert_eq!(encoder.contrastive_accuracies.len(), encoder.losses.len());
    let search = report.search.expect("sacp searches");
    assert_eq!(search.ranking, RankingName::Sensitivity);
    assert!((100_000..110_000).contains(&search.candidates), "whole blocks were asked for: {}", search.candidates);
    let origins: Vec<&str> = report.candidates.iter().map(|candidate| candidate.origin.as_str()).collect();
    for origin in ["sensitivity", "uniform", "global_l1", "global_l2"] {
        assert!(origins.contains(&origin), "{origins:?}");
    }
    for candidate in &report.candidates {
        assert!((candidate.reduction - 0.7).abs() <= 0.0101, "{candidate:?}");
        assert!(candidate.similarity.is_some() && candidate.predicted_divergence.is_some());
    }
    assert!(report.spearman_rho.is_some() && report.sensitivity_correlation.is_some());

    let choice = report.channel_choice.as_ref().expect("there are samples to compare channels on");
    let uniform = &report.candidates[choice.candidate];
    assert_eq!((uniform.origin.as_str(), choice.measure.as_str(), choice.random.n), ("uniform", "accuracy", 4));
    assert_eq!(Some(choice.l1), uniform.screened_accuracy, "the baseline is the same network");
    assert!((choice.l1_gap - (choice.l1 - choice.random.mean)).abs() < 1e-12);
    let repair = report.repair.expect("the screened networks were repaired");
    assert_eq!(repair.steps, 10, "one pass over 1257 samples in batches of 128");
    assert!(report.candidates.iter().all(|candidate| candidate.repaired_accuracy.is_some()));
    let mean = |accuracy: fn(&CandidateReport) -> Option<f64>| {
        report.candidates.iter().filter_map(accuracy).sum::<f64>() / report.candidates.len() as f64
    };
    let (screened, repaired) =
        (mean(|candidate| candidate.screened_accuracy), mean(|candidate| candidate.repaired_accuracy));
    assert!(repaired > screened + 0.05, "{screened} screened, {repaired} repaired");
    for points in
        [&report.frontier.screened, &report.frontier.repaired, &report.frontier.lightly_tuned, &report.frontier.tuned]
    {
        assert!(points.is_sorted_by(|a, b| a.macs < b.macs && a.accuracy < b.accuracy), "{points:?}");
    }
    let best = report.frontier.tuned.last().map(|point| point.accuracy);
    assert_eq!(best, report.candidates.iter().filter_map(|candidate| candidate.tuned_accuracy).reduce(f64::max));
    assert!(report.devices.keys().eq(report.seconds.keys()), "{:?}", report.devices);
    assert!(report.devices.values().flatten().all(|device| device == "cpu"));
    let data = report.data.expect("the job has a data set");
    assert_eq!((data.classes, data.outputs), (Some(10), Some(10)));

    let winner = report.pruned.accuracy.expect("the digits have labels").val;
    for candidate in &report.candidates {
        let measured = [candidate.screened_accuracy, candidate.light_accuracy, candidate.tuned_accuracy];
        let best = measured.into_iter().flatten().fold(0.0, f64::max);
        assert!(winner >= best - 1e-9, "the winner has {winner}, {candidate:?}");
    }
}

#[test]
fn the_winner_of_a_search_by_gradients_is_replayed_to_the_same_channels() {
    let spec = format!(
        r#"{{"target": {{"flops_reduction": 0.6}}, {INPUT}, {SACP}, "importance": {{"criterion": "taylor", "normalisation": "group"}}, "fine_tune": null}}"#
    );
    let model = example("resnet20-digits.pt");
    let mut job = Job::new(&spec, &model, Some(&example("digits.npz")));
    let first = job.report();
    check_consistency(&first);
    let config = std::fs::read_to_string(job.path(CONFIG)).unwrap();
    let replay = format!(
        r#"{{"target": {{"flops_reduction": 0.6}}, {INPUT}, "method": "config", "config": {config}, "fine_tune": null}}"#
    );
    let second = Job::new(&replay, &model, Some(&example("digits.npz"))).report();
    assert_eq!(second.kept, first.kept);
    assert_eq!(second.layers, first.layers);
}

#[test]
fn a_criterion_that_needs_samples_is_rejected_without_them() {
    let spec =
        r#"{"target": {"flops_reduction": 0.5}, "input_shape": [1, 8, 8], "importance": {"criterion": "taylor"}}"#;
    let rejection = Job::new(spec, &example("resnet20-digits.pt"), None).rejection();
    assert_eq!((rejection.code, rejection.node.as_deref()), (Code::InvalidSpec, Some("importance.criterion")));
}

#[test]
fn batch_norm_scales_are_rejected_as_the_criterion_of_a_network_without_batch_norms() {
    let spec =
        r#"{"target": {"flops_reduction": 0.5}, "input_shape": [[4], [5]], "importance": {"criterion": "bn_scale"}}"#;
    let rejection = Job::new(spec, &fixture("two-inputs.pt"), None).rejection();
    assert!(rejection.hint.unwrap().contains("batch norms"), "{}", rejection.detail);
}

#[test]
fn a_network_of_one_layer_has_nothing_to_prune_whatever_the_criterion() {
    let mut net = Net::new(&[4]);
    net.linear("only", 3);
    for criterion in ["l1", "bn_scale"] {
        let spec = format!(
            r#"{{"target": {{"flops_reduction": 0.5}}, "input_shape": [4], "importance": {{"criterion": "{criterion}"}}}}"#
        );
        let job = Job::new(&spec, &fixture("two-inputs.pt"), None);
        std::fs::write(job.path(GRAPH), net.graph().to_json()).unwrap();
        let Outcome::Rejected { rejection } = job.run(Work::Graph(())) else { panic!("it is rejected") };
        assert_eq!(rejection.code, Code::NothingPrunable, "{}", rejection.detail);
    }
}

#[test]
fn sacp_with_regression_ranks_by_what_an_encoder_learnt_from_measured_configurations() {
    let spec = format!(
        r#"{{"target": {{"flops_reduction": 0.6}}, {INPUT}, "encoder": {{"objective": "regression", "samples": 40}},
            "search": {{"candidates": 100000, "top_m": 10}}, "fine_tune": null}}"#
    );
    let mut job = Job::new(&spec, &example("resnet20-digits.pt"), Some(&example("digits.npz")));
    let report = job.report();
    check_consistency(&report);
    let encoder = report.encoder.expect("sacp trains an encoder");
    assert_eq!((encoder.objective, encoder.samples), (EncoderObjective::Regression, 40));
    assert_eq!(encoder.held_out.expect("eight are held out").samples, 8);
    assert!(encoder.losses.last() < encoder.losses.first(), "{:?}", encoder.losses);
    assert_eq!(report.search.expect("sacp searches").ranking, RankingName::Regression);
    assert!(report.regression_correlation.is_some() && report.similarity_correlation.is_none());
    for candidate in report.candidates.iter().filter(|candidate| candidate.origin == Origin::Regression) {
        assert!(candidate.predicted_value.is_some() && candidate.similarity.is_none());
    }
}

#[test]
fn sacp_without_data_ranks_by_similarity() {
    let spec = format!(r#"{{"target": {{"flops_reduction": 0.5}}, "input_shape": [1, 8, 8], {SACP}}}"#);
    let mut job = Job::new(&spec, &example("resnet20-digits.pt"), None);
    let report = job.report();
    check_consistency(&report);
    assert_eq!((report.winner, report.search.unwrap().ranking), (Origin::Similarity, RankingName::Similarity));
}

#[test]
fn a_model_is_pruned_without_a_data_set() {
    let spec = r#"{"target": {"params_reduction": 0.4}, "input_shape": [1, 8, 8], "method": "uniform"}"#;
    let mut job = Job::new(spec, &fixture("printing.pt"), None);
    let report = job.report();
    check_consistency(&report);
    assert_eq!(report.pruned.accuracy, None);
    assert!(
        report.warnings.iter().any(|warning| warning.contains("Accuracy was not measured")),
        "{:?}",
        report.warnings
    );
}

#[test]
fn a_data_set_without_labels_is_tuned_by_distillation() {
    let (_folder, path) = digits(without_labels);
    let fine_tune = r#"{"objective": "distill", "epochs": 1, "lr": 0.02}, "diagnostics": true"#;
    let mut job = Job::new(&spec(0.5, fine_tune), &example("vgg-digits.pt"), Some(&path));
    let report = job.report();
    check_consistency(&report);
    assert_eq!(report.pruned.accuracy, None);
    let Some(TaskResult::Screen(screen)) =
        job.finished.iter().map(|task| &task.result).find(|result| matches!(result, TaskResult::Screen(_)))
    else {
        panic!("there is a screen stage")
    };
    assert!(screen.screened[0].metric.is_some_and(|agreement| agreement > 0.1));
    assert!(report.epochs[0].train_loss > 0.0);
    assert!(report.epochs[0].val_accuracy.is_none() && report.epochs[0].val_metric.is_some());
    let metric = report.metric.expect("the original's classes are there to compare with");
    assert_eq!((metric.name, metric.base.val), (Measure::Agreement, 1.0));
    assert!(metric.pruned.test > 0.8, "{metric:?}");
    let choice = report.channel_choice.expect("agreement needs no labels");
    assert_eq!(choice.measure, Measure::Agreement);
    assert!((0.0..=1.0).contains(&choice.random.mean));
}

#[test]
fn cross_entropy_without_labels_is_rejected_with_the_way_out() {
    let (_folder, path) = digits(without_labels);
    let spec = spec(0.5, r#"{"objective": "cross_entropy"}"#);
    let rejection = Job::new(&spec, &example("vgg-digits.pt"), Some(&path)).rejection();
    assert_eq!(rejection.code, Code::DatasetMismatch);
    assert!(rejection.hint.unwrap().contains(r#""objective": "distill""#));
}

#[test]
fn labels_beyond_the_models_classes_are_rejected() {
    let (_folder, path) = digits(|arrays| {
        let labels = arrays["y"].copy();
        let _ = labels.get(3).fill_(12);
        arrays.insert("y".to_owned(), labels);
    });
    let rejection = Job::new(&spec(0.5, "null"), &example("vgg-digits.pt"), Some(&path)).rejection();
    assert_eq!(rejection.code, Code::DatasetMismatch);
    assert!(rejection.detail.contains("12"), "{}", rejection.detail);
}

#[test]
fn samples_with_the_channels_last_are_turned() {
    let (_folder, path) = digits(|arrays| {
        for (name, tensor) in arrays.iter_mut().filter(|(name, _)| name.starts_with('x')) {
            *tensor = tensor.permute([0, 2, 3, 1]).contiguous();
            assert_eq!(tensor.size()[3], 1, "{name}");
        }
    });
    let mut job = Job::new(&spec(0.5, "null"), &example("vgg-digits.pt"), Some(&path));
    job.run_through(Stage::Import).unwrap();
    let TaskResult::Import(import) = &job.finished[0].result else { panic!("it is an import") };
    assert_eq!(import.input_shapes, [[1, 8, 8]]);
    assert!(import.accuracy.unwrap().val > 0.98);
}

#[test]
fn one_shape_for_two_inputs_is_rejected() {
    let spec = r#"{"target": {"flops_reduction": 0.5}, "method": "global_l2", "input_shape": [4]}"#;
    let rejection = Job::new(spec, &fixture("two-inputs.pt"), None).rejection();
    assert_eq!(rejection.code, Code::InputCount);
}

#[test]
fn a_model_with_two_inputs_is_pruned() {
    let spec = r#"{"target": {"channel_reduction": 0.5}, "method": "global_l2", "input_shape": [[4], [5]], "fine_tune": null}"#;
    let report = Job::new(spec, &fixture("two-inputs.pt"), None).report();
    check_consistency(&report);
}

#[test]
fn a_model_for_triton_is_the_pruned_file_with_how_it_is_called() {
    let triton = r#""triton": {"name": "digits", "max_batch_size": 16}"#;
    let spec = spec(0.5, &format!("null, {triton}"));
    let mut job = Job::new(&spec, &example("resnet20-digits.pt"), Some(&example("digits.npz")));
    let sizes = job.report().sizes.unwrap();
    assert_eq!((&sizes.inputs[0].dtype, &sizes.outputs[0].shape), (&Some(DType::Float32), &vec![1, 10]));
    assert_eq!((&sizes.inputs[0].varying, &sizes.outputs[0].varying), (&vec![0, 2, 3], &vec![0]));

    let mut archive = ZipArchive::new(File::open(job.path(TRITON)).unwrap()).unwrap();
    assert_eq!(archive.file_names().collect::<Vec<_>>(), ["digits/config.pbtxt", "digits/1/model.pt"]);
    let mut read = |name: &str| {
        let mut bytes = Vec::new();
        archive.by_name(name).unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    };
    assert_eq!(read("digits/1/model.pt"), std::fs::read(job.path(PRUNED_MODEL)).unwrap());
    let config = String::from_utf8(read("digits/config.pbtxt")).unwrap();
    assert!(config.starts_with("name: \"digits\"\n") && config.contains("max_batch_size: 16\n"), "{config}");
    assert!(config.contains("INPUT__0\" data_type: TYPE_FP32 dims: [1, -1, -1]"), "{config}");
    assert!(config.contains("OUTPUT__0\" data_type: TYPE_FP32 dims: [10]"), "{config}");
}

#[test]
fn float16_weights_are_rejected() {
    let spec = r#"{"target": {"flops_reduction": 0.5}, "method": "global_l2", "input_shape": [1, 8, 8]}"#;
    let rejection = Job::new(spec, &fixture("half.pt"), None).rejection();
    assert_eq!(rejection.code, Code::UnsupportedDtype);
}

#[test]
fn a_scaling_of_another_number_of_channels_is_rejected() {
    let spec =
        r#"{"target": {"flops_reduction": 0.5}, "method": "global_l2", "input": {"mean": [1, 2, 3], "std": 6.0}}"#;
    let rejection = Job::new(spec, &example("vgg-digits.pt"), Some(&example("digits.npz"))).rejection();
    assert_eq!(rejection.code, Code::InvalidSpec);
    assert_eq!(rejection.node.as_deref(), Some("input.mean"));
}

#[test]
fn an_accuracy_drop_beyond_the_allowed_is_rejected_with_what_was_reached() {
    let spec = format!(
        r#"{{"target": {{"flops_reduction": 0.85, "max_accuracy_drop": 0.001}}, "method": "global_l2", {INPUT}, "fine_tune": null}}"#
    );
    let rejection = Job::new(&spec, &example("resnet20-digits.pt"), Some(&example("digits.npz"))).rejection();
    assert_eq!(rejection.code, Code::AccuracyDropExceeded);
    assert!(rejection.detail.contains("allows 0.001"), "{}", rejection.detail);
}

#[test]
fn the_same_spec_tunes_to_the_same_weights() {
    let fine_tune = r#"{"epochs": 1, "lr": 0.02, "augment": ["hflip", "crop"]}"#;
    let mut job = Job::new(&spec(0.5, fine_tune), &example("vgg-digits.pt"), Some(&example("digits.npz")));
    job.run_through(Stage::Tune).unwrap();
    let first = std::fs::read(job.path(&tuned_weights(0))).unwrap();
    std::fs::remove_file(job.path(&tuned_weights(0))).unwrap();
    job.run(Work::Tune(TuneWork { candidate: 0 }));
    assert!(std::fs::read(job.path(&tuned_weights(0))).unwrap() == first);
}

#[test]
fn a_found_configuration_is_replayed_to_the_same_network() {
    let model = example("vgg-digits.pt");
    let mut job = Job::new(&spec(0.5, "null"), &model, Some(&example("digits.npz")));
    let first = job.report();
    let config = std::fs::read_to_string(job.path(CONFIG)).unwrap();
    let replay = format!(
        r#"{{"target": {{"flops_reduction": 0.5}}, {INPUT}, "method": "config", "config": {config}, "fine_tune": null}}"#
    );
    let second = Job::new(&replay, &model, Some(&example("digits.npz"))).report();
    assert_eq!(second.kept, first.kept);
    assert_eq!(second.pruned.accuracy, first.pruned.accuracy);
}

/// A label-free job without training: the repair alone, held to the metric that there is.
#[test]
fn a_drop_of_the_metric_is_refused_without_labels_too() {
    let (_folder, path) = digits(without_labels);
    let spec = |drop: f64| {
        format!(
            r#"{{"target": {{"flops_reduction": 0.85, "max_metric_drop": {drop}}}, "method": "global_l2", {INPUT}, "fine_tune": null}}"#
        )
    };
    let rejection = Job::new(&spec(0.001), &example("resnet20-digits.pt"), Some(&path)).rejection();
    assert_eq!(rejection.code, Code::AccuracyDropExceeded);
    assert!(rejection.detail.contains("`agreement` fell from 1.0000"), "{}", rejection.detail);
    let report = Job::new(&spec(0.9), &example("resnet20-digits.pt"), Some(&path)).report();
    assert!(report.metric.as_ref().is_some_and(|metric| metric.pruned.val > 0.2), "{:?}", report.metric);
}

#[test]
fn what_the_spec_says_of_outputs_is_checked_before_the_search() {
    let outputs = r#"{"objective": "distill", "outputs": [{"index": 0, "kind": "ignore"}]}"#;
    let spec = spec(0.5, outputs);
    let rejection = Job::new(&spec, &example("vgg-digits.pt"), Some(&example("digits.npz"))).rejection();
    assert_eq!((rejection.code, rejection.node.as_deref()), (Code::UnsupportedModel, Some("fine_tune.outputs")));
}

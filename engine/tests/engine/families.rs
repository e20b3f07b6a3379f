//! One small network for each way in which real ones spell their layers (`tests/fixtures/families`), pruned whole by the
//! engine's binary. `make zoo` does the same with the real ones.

use secateur_core::inspection::ExportKind;
use secateur_core::report::Report;

use secateur_engine::network::weights::save_named;

use crate::job::{Job, fixture};

const IMAGE: &str = "[3, 16, 16]";

/// The report of a job that prunes to 50 % of the multiply-accumulates, which is met, without fine-tuning.
fn halve(family: &str, input_shape: &str, method: &str) -> Report {
    halve_with(family, &format!(r#""input_shape": {input_shape}"#), method)
}

fn halve_with(family: &str, input: &str, method: &str) -> Report {
    let spec = format!(r#"{{"target": {{"flops_reduction": 0.5}}, "method": "{method}", {input}, "fine_tune": null}}"#);
    let report = Job::new(&spec, &fixture(&format!("families/{family}.pt")), None).report();
    let removed = report.reduction["flops_reduction"];
    assert!((removed - 0.5).abs() <= 0.01, "{family}, {method}: {removed}");
    assert!(report.equivalence.max_abs_diff <= report.equivalence.tolerance, "{family}: {:?}", report.equivalence);
    let export = report.export.as_ref().unwrap();
    assert_eq!(export.kind, ExportKind::Patched, "{family}: {:?}", export.reason);
    assert!(report.reload.max_abs_diff <= report.reload.tolerance, "{family}: {:?}", report.reload);
    report
}

/// The sorts of layers that the cut made narrower, by the name of a layer of each.
fn narrower<'a>(report: &'a Report, layers: &[&'a str]) -> Vec<&'a str> {
    let is_narrower = |name: &&str| {
        let found = report.layers.iter().find(|layer| layer.layer == *name);
        let layer = found.unwrap_or_else(|| panic!("no layer {name} in {:?}", report.layers));
        layer.channels_after < layer.channels_before
    };
    layers.iter().copied().filter(is_narrower).collect()
}

#[test]
fn halves_that_are_split_off_and_interleaved_are_pruned() {
    halve("shuffle", IMAGE, "uniform");
}

/// At twice the input the original makes four rows of a sample, and no cut can do the same there.
#[test]
fn a_size_that_is_written_into_the_program_is_told_and_no_reason_to_fail() {
    let report = halve("written-size", IMAGE, "uniform");
    let layers = ["features.0.0", "features.2.0"];
    assert_eq!(narrower(&report, &layers), layers);
    let lost = &report.export.as_ref().unwrap().lost;
    assert!(lost.iter().any(|lost| lost.contains("a size that is written into it")), "{lost:?}");
}

#[test]
fn layers_that_read_all_before_them_are_pruned() {
    let report = halve("dense", IMAGE, "global_l2");
    assert!(!narrower(&report, &["body.1.layers.0.0", "body.1.layers.2.0", "body.3.layers.1.0"]).is_empty());
}

#[test]
fn squeeze_and_excitation_shrinks_with_what_it_scales() {
    let report = halve("inverted-residual", IMAGE, "uniform");
    let layers = ["body.1.expand.0", "body.1.depthwise", "body.1.excite"];
    assert_eq!(narrower(&report, &layers), layers);
}

#[test]
fn linear_layers_on_permuted_images_are_pruned() {
    let report = halve("channels-last", IMAGE, "uniform");
    assert_eq!(narrower(&report, &["body.1.up", "body.2.up"]), ["body.1.up", "body.2.up"]);
}

#[test]
fn grouped_convolutions_stay_grouped_and_shrink() {
    let report = halve("grouped", IMAGE, "global_l2");
    assert!(report.kept.0.contains_key("body.2.0.weight"), "{:?}", report.kept);
}

#[test]
fn transformer_blocks_are_pruned() {
    let report = halve("attention", IMAGE, "uniform");
    assert_eq!(narrower(&report, &["up"]), ["up"]);
}

#[test]
fn shifted_windows_with_a_written_mask_are_pruned() {
    let report = halve("windows", IMAGE, "uniform");
    assert_eq!(narrower(&report, &["up"]), ["up"]);
}

#[test]
fn branches_are_pruned_and_a_head_of_training_alone_stays_none() {
    let report = halve("branches", IMAGE, "uniform");
    let layers = ["stem.0", "point.0", "wide.0.0", "wide.1.0", "pool.0"];
    assert_eq!(narrower(&report, &layers), layers);
}

#[test]
fn a_u_net_is_pruned_across_its_bridges() {
    let report = halve("u-net", IMAGE, "uniform");
    assert_eq!(narrower(&report, &["top.0", "middle.0", "bottom.0"]), ["top.0", "middle.0", "bottom.0"]);
}

#[test]
fn three_dimensional_convolutions_are_pruned() {
    halve("clip", "[3, 4, 8, 8]", "global_l2");
}

#[test]
fn a_gated_sequence_of_one_dimensional_convolutions_is_pruned() {
    halve("sequence", "[4, 20]", "uniform");
}

#[test]
fn attention_over_a_stack_of_kernels_is_pruned() {
    halve("selective", IMAGE, "uniform");
}

#[test]
fn channels_pass_writes_into_parts_of_an_image() {
    let report = halve("overwritten", IMAGE, "uniform");
    assert_eq!(narrower(&report, &["first.0", "second.0"]), ["first.0", "second.0"]);
}

#[test]
fn an_enumeration_is_compared_and_biases_in_a_dictionary_go_with_their_heads() {
    let report = halve("cached", IMAGE, "uniform");
    let heads = &report.kept.0["biases.cpu"][&0];
    assert!(heads.len() < 4, "{heads:?}");
}

#[test]
fn a_recurrent_layer_loses_hidden_units_in_every_layer_and_direction() {
    let report = halve("recurrent", IMAGE, "uniform");
    let units = &report.kept.0["sequence.weight_hh_l1_reverse"][&1];
    assert!(units.len() < 12, "{units:?}");
    assert_eq!(report.kept.0["sequence.weight_hh_l0"][&0].len(), 4 * units.len());
    assert_eq!(report.kept.0["head.weight"][&1].len(), 2 * units.len());
    assert_eq!(narrower(&report, &["features.0", "sequence"]), ["features.0", "sequence"]);
}

#[test]
fn weights_that_are_made_of_directions_and_lengths_are_pruned() {
    let report = halve("lengths", IMAGE, "uniform");
    for name in ["first.weight_v", "first.weight_g", "second.parametrizations.weight.original1", "third.weight_orig"] {
        assert!(report.kept.0.contains_key(name), "{name}: {:?}", report.kept.0.keys());
    }
    let (rows, vector) = (&report.kept.0["third.weight_orig"], &report.kept.0["third.weight_v"][&0]);
    assert_eq!(vector.len(), rows[&1].len() * 9, "the singular vector has an entry for each kernel position");
}

#[test]
fn normalisations_and_attention_that_are_written_by_hand_leave_the_channels_prunable() {
    let report = halve("by-hand", IMAGE, "uniform");
    assert_eq!(narrower(&report, &["stem", "out"]), ["stem", "out"]);
    let tables = [&report.kept.0["cosines"][&1], &report.kept.0["sines"][&1]];
    assert_eq!(tables[0], tables[1], "rotary tables go with their head dimensions");
}

#[test]
fn python_numbers_beside_integers_do_not_make_float64_of_the_outputs() {
    let report = halve("numbers", IMAGE, "uniform");
    assert_eq!(narrower(&report, &["body.0.0", "body.1.0"]), ["body.0.0", "body.1.0"]);
}

#[test]
fn a_cache_that_the_first_call_fills_is_filled_anew() {
    let report = halve("filling", IMAGE, "global_l2");
    assert!(report.kept.0.contains_key("gain"), "{:?}", report.kept);
}

#[test]
fn the_constants_of_a_frozen_file_are_pruned_like_parameters() {
    let report = halve("frozen", IMAGE, "global_l2");
    assert!(
        report.base.params > 0 && report.kept.0.keys().all(|name| name.starts_with("CONSTANTS.")),
        "{:?}",
        report.kept
    );
    let sizes = report.sizes.unwrap();
    assert_eq!(sizes.inputs[0].varying, [0, 2, 3]);
    let proved: Vec<_> = sizes.proved.into_iter().map(|size| (size.shapes, size.values)).collect();
    assert_eq!(proved, [16, 17, 49].map(|side| (vec![vec![3, side, side]], true)));
}

/// A frozen file has no parameters, so its layers' constants are trained in their place.
#[test]
fn the_constants_of_a_frozen_file_are_trained() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("random.safetensors");
    let samples = tch::Tensor::rand([40, 3, 33, 33], (tch::Kind::Float, tch::Device::Cpu));
    secateur_engine::network::weights::save_named(&data, [("x", &samples)]).unwrap();
    let spec =
        r#"{"target": {"flops_reduction": 0.5}, "method": "global_l2", "fine_tune": {"epochs": 3, "batch_size": 8}}"#;
    let report = Job::new(spec, &fixture("families/frozen.pt"), Some(&data)).report();
    let losses: Vec<f64> = report.epochs.iter().map(|epoch| epoch.train_loss).collect();
    assert!(losses.len() == 3 && losses[2] < losses[0], "{losses:?}");
}

#[test]
fn numbers_of_words_are_drawn_from_the_rows_of_their_embedding() {
    let report = halve_with("words", r#""inputs": [{"shape": [7], "dtype": "int64"}]"#, "uniform");
    assert!(report.kept.0.contains_key("bag.weight"), "{:?}", report.kept);
    let spec = r#"{"target": {"flops_reduction": 0.5}, "method": "uniform", "fine_tune": null,
        "inputs": [{"shape": [7], "dtype": "int64", "max": 400000}]}"#;
    let rejection = Job::new(spec, &fixture("families/words.pt"), None).rejection();
    assert!(rejection.detail.contains("embedding_bag"), "there are 40 rows: {rejection}");
}

#[test]
fn time_may_come_before_the_batch_in_an_output() {
    halve("time-first", IMAGE, "uniform");
}

/// Random samples, no labels and no training: what the repair in closed form brings back.
#[test]
fn layers_of_every_sort_are_fitted_in_closed_form() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("noise.safetensors");
    tch::manual_seed(0);
    let samples = tch::Tensor::randn([600, 3, 16, 16], (tch::Kind::Float, tch::Device::Cpu));
    save_named(&data, [("x", &samples)]).unwrap();
    for (family, layers) in [("channels-last", 5), ("recurrent", 9), ("attention", 5), ("u-net", 6)] {
        let spec = format!(
            r#"{{"target": {{"flops_reduction": 0.5}}, "method": "uniform", "input_shape": {IMAGE}, "fine_tune": null}}"#
        );
        let report = Job::new(&spec, &fixture(&format!("families/{family}.pt")), Some(&data)).report();
        let repair = report.closed_form.expect("there are samples");
        assert!(repair.used && (repair.layers, repair.left) == (layers, 0), "{family}: {repair:?}");
        let (repaired, without) = (repair.repaired.unwrap(), repair.without.unwrap());
        assert!(repaired > without + 0.2, "{family}: {repair:?}");
    }
}

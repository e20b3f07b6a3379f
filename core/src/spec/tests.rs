use serde_json::json;

use super::*;
use crate::cost::Metric;
use crate::importance::Criterion;
use crate::number::UnitInterval;

fn detail(json: &str) -> String {
    JobSpec::from_json(json).expect_err("the spec is wrong").detail
}

#[test]
fn a_target_alone_is_a_whole_spec() {
    let spec = JobSpec::from_json(r#"{"target": {"flops_reduction": 0.7}}"#).unwrap();
    assert_eq!(spec.target.metric, Metric::Flops);
    assert_eq!(spec.fine_tune, Some(FineTune::default()));
    let as_run = serde_json::to_string(&spec).unwrap();
    assert_eq!(JobSpec::from_json(&as_run).unwrap(), spec);
}

#[test]
fn null_turns_fine_tuning_off() {
    let spec = JobSpec::from_json(r#"{"target": {"flops_reduction": 0.7}, "fine_tune": null}"#).unwrap();
    assert_eq!(spec.fine_tune, None);
    let as_run = serde_json::to_string(&spec).unwrap();
    assert_eq!(JobSpec::from_json(&as_run).unwrap(), spec);
}

#[test]
fn a_target_outside_zero_to_one_is_named_with_its_value() {
    for value in ["0", "1", "1.5", "-0.1"] {
        let message = detail(&format!(r#"{{"target": {{"flops_reduction": {value}}}}}"#));
        assert!(
            message.contains("target") && message.contains(value) && message.contains("between 0 and 1"),
            "{message}"
        );
    }
}

#[test]
fn two_targets_or_none_are_refused() {
    let two = detail(r#"{"target": {"flops_reduction": 0.5, "params_reduction": 0.5}}"#);
    assert!(two.contains("2 reductions given"), "{two}");
    let none = detail(r#"{"target": {}}"#);
    assert!(none.contains("0 reductions given"), "{none}");
}

#[test]
fn a_preset_sets_what_the_spec_does_not_say() {
    let json = r#"{"target": {"flops_reduction": 0.5}, "preset": "quick", "search": {"top_m": 7}}"#;
    let spec = JobSpec::from_json(json).unwrap();
    assert_eq!((spec.search.top_m.get(), spec.search.top_k.get(), spec.encoder.configs.get()), (7, 1, 2000));
    let as_run = serde_json::to_string(&spec).unwrap();
    assert_eq!(JobSpec::from_json(&as_run).unwrap(), spec, "a spec as run gives itself again");
    let json = r#"{"target": {"flops_reduction": 0.5}, "preset": "quick", "fine_tune": null}"#;
    assert_eq!(JobSpec::from_json(json).unwrap().fine_tune, None);
    let paper = JobSpec::from_json(r#"{"target": {"flops_reduction": 0.5}, "preset": "paper"}"#).unwrap();
    assert_eq!((paper.importance.criterion, paper.search.ranking), (Criterion::L1, RankingChoice::Similarity));
    assert_eq!((paper.recovery.closed_form, paper.repair_steps()), (ClosedForm::Never, 0));
    assert!(detail(r#"{"target": {"flops_reduction": 0.5}, "preset": "fast"}"#).contains("fast"));
}

#[test]
fn what_a_refusal_repeats_is_written_out_and_cut() {
    let message = detail("{\"target\": {\"flops_reduction\": 0.5}, \"method\": \"unif\u{7f}rm\"}");
    assert!(message.contains("unknown variant `unif\\u007frm`"), "{message}");
    let long = "x".repeat(60_000);
    for json in [format!(r#"{{"{long}": 1}}"#), format!(r#"{{"target": {{"flops_reduction": "{long}"}}}}"#)] {
        assert!(detail(&json).len() < 2_000);
    }
}

#[test]
fn an_unknown_field_is_refused_by_name() {
    let message = detail(r#"{"target": {"flops_reduction": 0.5}, "constraints": {"round": 8}}"#);
    assert!(message.contains("constraints") && message.contains("unknown field `round`"), "{message}");
    let message = detail(r#"{"target": {"flops_reduction": 0.5}, "colour": "red"}"#);
    assert!(message.contains("colour"), "{message}");
}

#[test]
fn importance_is_refused_where_the_method_has_a_criterion_of_its_own() {
    let spec = JobSpec::from_json(
        r#"{"target": {"flops_reduction": 0.5}, "importance": {"criterion": "bn_scale", "normalisation": "group"}}"#,
    );
    assert_eq!(spec.unwrap().importance.criterion, Criterion::BnScale);
    for method in ["uniform", "global_l1", "global_l2"] {
        let with = |criterion: &str| {
            format!(
                r#"{{"target": {{"flops_reduction": 0.5}}, "method": "{method}", "importance": {{"criterion": "{criterion}"}}}}"#
            )
        };
        let message = detail(&with("fpgm"));
        assert!(message.contains("`importance`") && message.contains(method), "{message}");
        for default in ["reconstruction", "l1"] {
            assert!(JobSpec::from_json(&with(default)).is_ok(), "a spec as run holds the default of its time");
        }
    }
    let weighed = detail(r#"{"target": {"flops_reduction": 0.5}, "importance": {"normalisation": "group"}}"#);
    assert!(weighed.contains("`importance.normalisation` `group`") && weighed.contains("`l1`"), "{weighed}");
    let unknown = detail(r#"{"target": {"flops_reduction": 0.5}, "importance": {"criterion": "entropy"}}"#);
    assert!(unknown.contains("importance.criterion") && unknown.contains("entropy"), "{unknown}");
}

#[test]
fn a_configuration_is_given_with_the_method_that_replays_it_and_only_then() {
    let without = detail(r#"{"target": {"flops_reduction": 0.5}, "method": "config"}"#);
    assert!(without.contains("`config` is missing"), "{without}");
    let with =
        detail(r#"{"target": {"flops_reduction": 0.5}, "method": "uniform", "config": {"format": 1, "groups": {}}}"#);
    assert!(with.contains("the method is `uniform`"), "{with}");
}

#[test]
fn more_epochs_than_anybody_waits_for_are_refused() {
    for field in ["epochs", "light_epochs"] {
        let message =
            detail(&format!(r#"{{"target": {{"flops_reduction": 0.5}}, "fine_tune": {{"{field}": 10001}}}}"#));
        assert!(message.contains(&format!("`fine_tune.{field}` 10001 is out of range")), "{message}");
    }
}

#[test]
fn more_steps_of_repair_than_anybody_waits_for_are_refused() {
    let with =
        |steps: u32| format!(r#"{{"target": {{"flops_reduction": 0.5}}, "search": {{"repair_steps": {steps}}}}}"#);
    let message = detail(&with(10_001));
    assert!(message.contains("`search.repair_steps` 10001 is out of range: 0 to 10000"), "{message}");
    assert_eq!(JobSpec::from_json(&with(0)).unwrap().search.repair_steps, Some(0));
}

fn with(fields: serde_json::Value) -> String {
    let mut spec = json!({"target": {"flops_reduction": 0.5}});
    spec.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    spec.to_string()
}

#[test]
fn what_a_spec_may_hold_is_said_with_what_it_holds() {
    let labels = |count: usize| (0..count).map(|i| (format!("k{i}"), json!("v"))).collect::<serde_json::Map<_, _>>();
    for (fields, words) in [
        (json!({"labels": labels(33)}), "33 labels given: at most 32"),
        (json!({"labels": {"k".repeat(64): "v"}}), "key has 64 characters: 1 to 63"),
        (json!({"labels": {"": "v"}}), "key has 0 characters"),
        (json!({"labels": {"team": "v".repeat(257)}}), "label `team` has 257 characters: at most 256"),
        (json!({"labels": {"team": "a\u{1b}[31m"}}), "control character"),
        (json!({"name": "n".repeat(201)}), "`name` has 201 characters"),
        (json!({"name": "a\nb"}), "control character"),
        (json!({"input_shape": [1, 1, 1, 1, 1, 1, 1, 1, 1]}), "9 dimensions: at most 8"),
        (json!({"input_shape": [65_537]}), "every size 1 to 65536"),
        (json!({"input_shape": [60_000, 60_000]}), "too large"),
        (json!({"input_shape": vec![vec![1]; 17]}), "17 shapes: 1 to 16"),
        (json!({"input_shape": [7], "inputs": [{"shape": [7]}]}), "Both `inputs` and `input_shape` are given"),
        (json!({"inputs": [{"shape": [7], "max": 5}]}), "`dtype` is no integer"),
        (json!({"inputs": [{"shape": [7], "dtype": "int64", "max": -1}]}), "0 and above"),
        (json!({"inputs": [{"shape": [0], "dtype": "int64"}]}), "every size 1 to 65536"),
        (json!({"inputs": [{"shape": [7], "value": 16000}]}), "takes a number and no tensor"),
        (json!({"inputs": [{"shape": [7], "value": "fast"}]}), "expected a JSON number"),
        (json!({"constraints": {"ignore": vec!["a"; 1001]}}), "1001 names: at most 1000"),
        (json!({"constraints": {"ignore": ["a".repeat(513)]}}), "a name of 513 characters: 1 to 512"),
        (json!({"constraints": {"layers": {"": {"max_reduction": 0.1}}}}), "a name of 0 characters"),
    ] {
        let message = detail(&with(fields));
        assert!(message.contains(words), "{message}");
    }
    let at_the_limit = json!({
        "labels": labels(32), "name": "n".repeat(200), "input_shape": [1, 1, 1, 1, 1, 1, 1, 65_536],
        "constraints": {"ignore": vec!["a"; 1000]},
    });
    JobSpec::from_json(&with(at_the_limit)).unwrap();
}

#[test]
fn a_spec_is_short_but_for_the_configuration_that_it_replays() {
    let channels: Vec<u32> = (0..100_000).collect();
    let config = json!({"format": 1, "groups": {"fc": channels}});
    let spec = JobSpec::from_json(&with(json!({"method": "config", "config": config, "preset": "quick"}))).unwrap();
    assert_eq!(spec.config.unwrap().groups["fc"], channels);
    let message = detail(&with(json!({"method": "config", "config": config, "colour": "x".repeat(65_536)})));
    assert!(message.contains("bytes beside `config`: at most 65536 are allowed"), "{message}");
    let message = detail(&with(json!({"method": "config", "config": "x".repeat(8 << 20)})));
    assert!(message.contains("at most 8388608 are allowed"), "{message}");
}

#[test]
fn a_spec_is_not_nested_deeper_than_any_field_needs() {
    let deep = format!(r#"{{"target": {{"flops_reduction": 0.5}}, "labels": {}{}}}"#, "[".repeat(40), "]".repeat(40));
    let message = detail(&deep);
    assert!(message.contains("nested 41 levels deep: at most 32"), "{message}");
}

#[test]
fn a_ranking_by_its_old_name_still_runs_and_is_written_back_by_the_new_one() {
    let spec =
        JobSpec::from_json(r#"{"target": {"flops_reduction": 0.5}, "search": {"ranking": "calibrated"}}"#).unwrap();
    assert_eq!(spec.search.ranking, RankingChoice::Sensitivity);
    assert_eq!(serde_json::to_value(&spec).unwrap()["search"]["ranking"], "sensitivity");
}

#[test]
fn a_repair_in_closed_form_is_chosen_by_a_truth_value_or_a_word() {
    let recovery = |json: &str| {
        JobSpec::from_json(&format!(
            r#"{{"target": {{"flops_reduction": 0.5}}, "recovery": {{"closed_form": {json}}}}}"#
        ))
    };
    for (json, choice, steps) in
        [("true", ClosedForm::Always, 0), ("false", ClosedForm::Never, 50), (r#""auto""#, ClosedForm::Auto, 0)]
    {
        let spec = recovery(json).unwrap();
        assert_eq!((spec.recovery.closed_form, spec.repair_steps()), (choice, steps));
        assert_eq!(serde_json::to_value(&spec).unwrap()["recovery"]["closed_form"].to_string(), json);
    }
    let refusal = recovery(r#""perhaps""#).unwrap_err();
    assert!(refusal.detail.contains(r#"none of true, false and "auto""#), "{}", refusal.detail);
    assert!(recovery("3").is_err());
}

#[test]
fn the_former_name_of_the_allowed_drop_is_read() {
    for name in ["max_metric_drop", "max_accuracy_drop"] {
        let spec = JobSpec::from_json(&format!(r#"{{"target": {{"flops_reduction": 0.5, "{name}": 0.02}}}}"#)).unwrap();
        assert_eq!(spec.target.max_metric_drop.map(UnitInterval::get), Some(0.02));
    }
}

#[test]
fn numbers_of_outputs_are_bounded() {
    for (output, field) in [
        (r#"{"index": 0, "weight": -1}"#, "fine_tune.outputs[0].weight"),
        (r#"{"index": 0, "temperature": 0}"#, "fine_tune.outputs[0].temperature"),
    ] {
        let spec = format!(r#"{{"target": {{"flops_reduction": 0.5}}, "fine_tune": {{"outputs": [{output}]}}}}"#);
        assert_eq!(JobSpec::from_json(&spec).unwrap_err().node.as_deref(), Some(field));
    }
}

#[test]
fn a_judge_has_an_hour_and_takes_the_greater_score_unless_the_spec_says_otherwise() {
    let judge = |json: &str| {
        let spec =
            JobSpec::from_json(&format!(r#"{{"target": {{"flops_reduction": 0.5}}, "judge": {json}}}"#)).unwrap();
        let as_run = serde_json::to_string(&spec).unwrap();
        assert_eq!(JobSpec::from_json(&as_run).unwrap(), spec);
        spec.judge
    };
    let default = JudgeSpec { timeout_s: 3600, higher_is_better: true, name: None };
    assert_eq!((judge("{}"), judge("null")), (Some(default), None));
    let given = judge(r#"{"timeout_s": 604800, "higher_is_better": false, "name": "word error rate"}"#).unwrap();
    assert_eq!((given.timeout_s, given.higher_is_better), (604_800, false));
    assert_eq!(given.name.as_deref(), Some("word error rate"));
}

#[test]
fn a_judge_that_can_never_answer_is_refused_with_what_is_allowed() {
    let refused = |json: &str| detail(&format!(r#"{{"target": {{"flops_reduction": 0.5}}, "judge": {json}}}"#));
    for timeout in ["0", "604801"] {
        let message = refused(&format!(r#"{{"timeout_s": {timeout}}}"#));
        assert_eq!(message, format!("`judge.timeout_s` {timeout} is out of range: 1 to 604800 seconds."));
    }
    for json in [r#"{"timeout_s": -1}"#, r#"{"timeout_s": 1.5}"#, r#"{"timeout_s": "1h"}"#, "true"] {
        assert!(refused(json).starts_with("`judge"), "{json}: {}", refused(json));
    }
    assert!(refused(r#"{"command": "x"}"#).contains("unknown field `command`"));
    assert!(refused(r#"{"name": ""}"#).contains("`judge.name` has 0 characters: 1 to 200"));
    assert!(refused(r#"{"name": "a\u0007"}"#).contains("`judge.name` has a control character"));
}

#[test]
fn inputs_have_names_all_or_none() {
    let spec =
        |inputs: &str| JobSpec::from_json(&format!(r#"{{"target": {{"flops_reduction": 0.5}}, "inputs": {inputs}}}"#));
    let named = spec(r#"[{"name": "mask", "shape": [7]}, {"name": "ids", "shape": [7]}]"#).unwrap();
    assert_eq!(named.inputs.unwrap()[1].name.as_deref(), Some("ids"));
    let refused = spec(r#"[{"name": "mask", "shape": [7]}, {"shape": [7]}]"#).unwrap_err();
    assert!(refused.detail.contains("all or none are allowed"), "{}", refused.detail);
}

#[test]
fn settings_of_training_out_of_range_are_named_with_what_is_allowed() {
    for (field, value, allowed) in [
        ("label_smoothing", "1", "0 to below 1"),
        ("hints", "-1", "0 to 100"),
        ("clip_norm", "0", "above 0"),
        ("ema", "1", "above 0 and below 1"),
        ("patience", "0", "1 or more"),
        ("mixup", "2", "above 0 and at most 1"),
        ("micro_batch", "1", "2 to `batch_size`, 128"),
        ("micro_batch", "129", "2 to `batch_size`, 128"),
    ] {
        let spec = format!(r#"{{"target": {{"flops_reduction": 0.5}}, "fine_tune": {{"{field}": {value}}}}}"#);
        let rejection = JobSpec::from_json(&spec).unwrap_err();
        assert_eq!(rejection.node, Some(format!("fine_tune.{field}")));
        assert!(rejection.detail.contains(allowed) && rejection.detail.contains(value), "{}", rejection.detail);
    }
}

#[test]
fn a_side_of_pictures_is_for_cropping_and_positive() {
    let refused = |resize| detail(&with(json!({"data": {"resize": resize}})));
    for size in [0, 65_537] {
        let message = refused(json!({"policy": "crop", "size": size}));
        assert_eq!(message, format!("`data.resize.size` {size} is out of range: 1 to 65536."));
    }
    let message = refused(json!({"policy": "stretch", "size": 32}));
    assert!(message.starts_with("`data.resize.size` is 32, which only the policy `crop` has a use for"), "{message}");
}

#[test]
fn a_model_for_triton_has_a_name_that_a_folder_may_have() {
    let spec = JobSpec::from_json(&with(json!({"triton": {}}))).unwrap();
    assert_eq!(spec.triton, Some(TritonSpec { name: "model".to_owned(), max_batch_size: 64 }));
    for name in ["", "a/b", ".hidden", "a b", "naïve", &"a".repeat(201)] {
        let message = detail(&with(json!({"triton": {"name": name}})));
        assert!(
            message.starts_with("`triton.name` `") && message.contains("is no name of a model: 1 to 200 letters"),
            "{message}"
        );
    }
    let message = detail(&with(json!({"triton": {"max_batch_size": 0}})));
    assert_eq!(message, "`triton.max_batch_size` 0 is out of range: 1 to 65536.");
}

#[test]
fn a_turn_that_cannot_be_is_refused_with_what_is_allowed() {
    for (field, detail) in [
        (r#""priority": 101"#, "`priority` 101 is out of range: -100 to 100."),
        (r#""max_runtime_s": 0"#, "`max_runtime_s` 0 is out of range: 1 to 2592000 seconds."),
        (
            r#""requires": {"memory_bytes": 0}"#,
            "`requires.memory_bytes` 0 is out of range: 1 to 9223372036854775807 bytes.",
        ),
    ] {
        let refused = JobSpec::from_json(&format!(r#"{{"target": {{"flops_reduction": 0.5}}, {field}}}"#)).unwrap_err();
        assert_eq!(refused.detail, detail);
    }
    let unknown = r#"{"target": {"flops_reduction": 0.5}, "requires": {"device": "tpu"}}"#;
    let refused = JobSpec::from_json(unknown).unwrap_err();
    assert!(refused.detail.contains("expected `cpu` or `gpu`"), "{}", refused.detail);
}

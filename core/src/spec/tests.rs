use super::*;
use crate::importance::Criterion;

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
    assert_eq!((spec.search.top_m.get(), spec.search.top_k.get(), spec.encoder.configs.get()), (7, 2, 2000));
    let as_run = serde_json::to_string(&spec).unwrap();
    assert_eq!(JobSpec::from_json(&as_run).unwrap(), spec, "a spec as run gives itself again");
    let json = r#"{"target": {"flops_reduction": 0.5}, "preset": "quick", "fine_tune": null}"#;
    assert_eq!(JobSpec::from_json(json).unwrap().fine_tune, None);
    assert!(detail(r#"{"target": {"flops_reduction": 0.5}, "preset": "fast"}"#).contains("fast"));
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
        assert!(JobSpec::from_json(&with("l1")).is_ok(), "a spec as run holds the default");
    }
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
    assert_eq!(JobSpec::from_json(&with(0)).unwrap().search.repair_steps, 0);
}

//! `clone_of`: the spec of an earlier job with some changes.

use std::collections::BTreeMap;

use secateur_core::spec::JobSpec;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// Of a pair of fields that say the same in two ways, a change of one takes the place of the other.
const EITHER: [(&str, &str); 2] = [("input_shape", "inputs"), ("inputs", "input_shape")];

/// Sections that follow from the method or from the preset, when the change names another one.
const OF_METHOD: [&str; 5] = ["config", "preset", "importance", "encoder", "search"];
const OF_PRESET: [&str; 4] = ["importance", "encoder", "search", "fine_tune"];

/// The spec of an earlier job as JSON, with changes: an object is merged into what is there field by field, `null` takes a field back to
/// its default, and everything else takes the place of what was there. `fine_tune: null` stays, since it means something, and `target` is
/// taken whole, since it names one quantity.
pub(super) fn changed(earlier: &JobSpec, changes: &BTreeMap<String, &RawValue>) -> serde_json::Result<String> {
    let mut spec = match serde_json::to_value(earlier)? {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    let mut drop_all = |names: &[&str]| names.iter().for_each(|name| drop(spec.shift_remove(*name)));
    if changes.contains_key("method") {
        drop_all(&OF_METHOD);
    }
    if changes.contains_key("preset") {
        drop_all(&OF_PRESET);
    }
    for (given, other) in EITHER {
        if changes.contains_key(given) {
            drop_all(&[other]);
        }
    }
    for (name, change) in changes {
        let change: Value = serde_json::from_str(change.get())?;
        match (name.as_str(), change) {
            ("fine_tune", Value::Null) => drop(spec.insert(name.clone(), Value::Null)),
            ("target", target) => drop(spec.insert(name.clone(), target)),
            (_, change) => merge(&mut spec, name, change),
        }
    }
    serde_json::to_string(&spec)
}

/// JSON Merge Patch (RFC 7396) of one field.
fn merge(fields: &mut Map<String, Value>, name: &str, change: Value) {
    match change {
        Value::Null => drop(fields.shift_remove(name)),
        Value::Object(changes) => {
            let field = fields.entry(name).or_insert(Value::Null);
            if !field.is_object() {
                *field = Value::Object(Map::new());
            }
            let Value::Object(field) = field else { return };
            for (name, change) in changes {
                merge(field, &name, change);
            }
        }
        plain => drop(fields.insert(name.to_owned(), plain)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(earlier: &str, changes: &str) -> JobSpec {
        let earlier = JobSpec::from_json(earlier).unwrap();
        let changes: BTreeMap<String, &RawValue> = serde_json::from_str(changes).unwrap();
        JobSpec::from_json(&changed(&earlier, &changes).unwrap()).unwrap()
    }

    #[test]
    fn what_is_not_changed_stays() {
        let earlier = r#"{"target": {"flops_reduction": 0.5}, "seed": 7, "fine_tune": {"epochs": 3, "distill": 0.25}}"#;
        let spec = change(earlier, r#"{"target": {"params_reduction": 0.7}, "fine_tune": {"epochs": 9}}"#);
        assert_eq!(spec.seed, 7);
        let fine_tune = spec.fine_tune.unwrap();
        assert_eq!((fine_tune.epochs, fine_tune.distill.get()), (9, 0.25));
        assert_eq!(serde_json::to_value(spec.target).unwrap(), serde_json::json!({"params_reduction": 0.7}));
    }

    #[test]
    fn null_takes_a_field_back_to_its_default_and_turns_fine_tuning_off() {
        let earlier = r#"{"target": {"flops_reduction": 0.5}, "seed": 7, "input_shape": [3, 32, 32]}"#;
        let spec = change(earlier, r#"{"seed": null, "fine_tune": null, "inputs": [{"shape": [3, 64, 64]}]}"#);
        assert_eq!((spec.seed, spec.fine_tune.is_none()), (0, true));
        assert_eq!((spec.input_shape, spec.inputs.unwrap().len()), (None, 1));
    }

    #[test]
    fn another_method_leaves_behind_what_was_for_the_one_before() {
        let earlier = r#"{"target": {"flops_reduction": 0.5}, "preset": "quick", "search": {"top_k": 5}}"#;
        let spec = change(earlier, r#"{"method": "global_l2"}"#);
        assert_eq!(spec.method.as_str(), "global_l2");
        let plain = JobSpec::from_json(r#"{"target": {"flops_reduction": 0.5}, "method": "global_l2"}"#).unwrap();
        assert_eq!(spec.search, plain.search);
    }
}

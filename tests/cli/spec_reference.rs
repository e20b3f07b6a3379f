//! docs/spec.md against the code.

use std::path::Path;

use secateur::http::openapi_document;
use secateur_core::spec::JobSpec;
use serde_json::{Value, json};

use super::{secateur, stdout};

#[test]
fn the_committed_page_is_that_of_the_code() {
    let committed = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/spec.md")).unwrap();
    assert_eq!(
        committed.trim_end(),
        secateur::cli::spec_reference_page().trim_end(),
        "docs/spec.md has drifted: `cargo run -- spec-reference > docs/spec.md`"
    );
}

#[test]
fn the_command_prints_the_page() {
    let output = secateur().arg("spec-reference").output().unwrap();
    assert!(output.status.success());
    assert_eq!(stdout(&output).trim_end(), secateur::cli::spec_reference_page().trim_end());
}

#[test]
fn the_page_has_every_field_with_its_range_its_default_and_its_meaning() {
    let page = secateur::cli::spec_reference_page();
    for line in [
        "| `target` | [object](#target) | required | What is to be removed. |",
        "| `flops_reduction` | number, above 0 and below 1 | – | Share of the multiply-accumulates",
        "| `round_to` | whole number, 1 or more | `1` | Kept channel counts are multiples of this. |",
        "| `epochs` | whole number, 1 to 10000 | `30` | Epochs of the full fine-tune. |",
        "| `optimizer` | `auto`, `sgd`, `adamw` | `auto` |",
        "| `fine_tune.epochs` | `20` | `30` |",
        "| `fpgm` | Sum of a filter's distances to the layer's other filters",
    ] {
        assert!(page.contains(line), "{line} is missing:\n{page}");
    }
}

/// The bounds stand in the description and in the checks; here the checks are asked about every bound, and the value beyond it.
#[test]
fn a_number_is_taken_within_its_range_and_refused_beyond_it() {
    let document = serde_json::to_value(openapi_document()).unwrap();
    let mut fields = Vec::new();
    numbers(&document["components"]["schemas"], "JobSpec", &[], &mut fields);
    let mut wrong = Vec::new();
    for (path, field) in &fields {
        let step = if field["type"].to_string().contains("integer") { 1.0 } else { 1e-6 };
        let bound = |name: &str| field[name].as_f64();
        let least = bound("minimum").into_iter().flat_map(|least| [(least, true), (least - step, false)]);
        let most = bound("maximum").into_iter().flat_map(|most| [(most, true), (most + step, false)]);
        let outside =
            ["exclusiveMinimum", "exclusiveMaximum"].into_iter().filter_map(|name| Some((bound(name)?, false)));
        for (value, is_fine) in least.chain(most).chain(outside) {
            let number = if step == 1.0 { json!(value as i64) } else { json!(value) };
            let read = JobSpec::from_json(&spec_with(path, number).to_string());
            if read.is_ok() != is_fine {
                wrong.push(format!("{} = {value}: {:?}", path.join("."), read.err().map(|rejection| rejection.detail)));
            }
        }
    }
    assert!(fields.len() > 40, "{fields:?}");
    assert_eq!(wrong, [] as [String; 0]);
}

/// The fields of a type that are numbers with bounds, and those of the objects in it.
fn numbers(schemas: &Value, name: &str, path: &[String], found: &mut Vec<(Vec<String>, Value)>) {
    for (field, schema) in schemas[name]["properties"].as_object().unwrap() {
        let here = [path, std::slice::from_ref(field)].concat();
        let choices = schema["oneOf"].as_array().into_iter().flatten();
        let schema = choices.clone().find(|choice| choice["type"] != "null").unwrap_or(schema);
        let named = schema["$ref"].as_str().and_then(|reference| reference.rsplit('/').next());
        match named {
            Some(name) if schemas[name].get("properties").is_some() => numbers(schemas, name, &here, found),
            _ => {
                let schema = named.map_or(schema, |name| &schemas[name]);
                let bounds = ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"];
                if bounds.iter().any(|bound| schema.get(bound).is_some()) {
                    found.push((here, schema.clone()));
                }
            }
        }
    }
}

/// A spec with this value, and what has to stand beside it.
fn spec_with(path: &[String], value: Value) -> Value {
    let mut spec = json!({"target": {"flops_reduction": 0.5}});
    let [first, .., last] = path else {
        spec[path[0].as_str()] = value;
        return spec;
    };
    match first.as_str() {
        "target" if last.ends_with("reduction") => spec = json!({}),
        "config" => (spec["method"], spec["config"]) = (json!("config"), json!({"groups": {}})),
        "data" => spec["data"] = json!({"resize": {"policy": "crop"}}),
        _ => {}
    }
    let field = path.iter().fold(&mut spec, |object, name| &mut object[name.as_str()]);
    *field = value;
    spec
}

#[test]
fn no_field_and_no_word_is_without_a_meaning() {
    let page = secateur::cli::spec_reference_page();
    let silent: Vec<_> = page.lines().filter(|line| line.starts_with("| ") && line.ends_with("|  |")).collect();
    assert!(silent.is_empty(), "say what these mean where they are declared: {silent:#?}");
}

//! The page about the job spec, docs/spec.md: every field as the API's description has it, with the words that it takes.
//!
//! `secateur spec-reference > docs/spec.md` writes it; `tests/cli/spec_reference.rs` says when the page has drifted from the code.

use std::collections::BTreeSet;

use secateur_core::spec::{JobSpec, Preset, words_of};
use serde_json::{Map, Value};

use crate::http::openapi_document;

const HEAD: &str = "\
# The job spec

A job spec is one JSON object. Only `target` is required, with exactly one of its reductions; everything else has a default. Unknown fields are
refused by name, and a value outside of its range with [`invalid_spec`](errors.md#invalid_spec) and the path of the field.

```json
{\"target\": {\"flops_reduction\": 0.6}, \"preset\": \"quick\", \"input\": {\"mean\": 72.9, \"std\": 90}}
```

A report has the spec as it was run, with every default filled in. The [README](../README.md#the-job-spec) has the fields that one needs first,
[concepts.md](concepts.md) says what they are about, and [data.md](data.md) what a data set is.

In the column *default* a dash means that the field may be left out, and the meaning says what holds then.

This page is written by `secateur spec-reference > docs/spec.md`, and `make test` compares the two.
";

const PRESETS: &str = "
## What the presets set

A preset fills in these fields where the spec does not have them.
";

/// docs/spec.md as the code has it.
#[must_use]
pub fn spec_reference_page() -> String {
    let document = serde_json::to_value(openapi_document()).expect("the API's description is JSON");
    let schemas = document["components"]["schemas"].as_object().expect("the API has types");
    let mut reference = Reference { schemas, page: String::from(HEAD), done: BTreeSet::new() };
    let least = JobSpec::from_json(r#"{"target": {"flops_reduction": 0.5}}"#).expect("a target is all that is needed");
    let mut defaults = serde_json::to_value(least).expect("a spec is JSON");
    defaults["target"] = Value::Null;
    reference.describe("JobSpec", "", &defaults);
    let mut page = reference.page;
    page += PRESETS;
    page += &preset_table();
    page
}

/// Writes the page to stdout.
pub(super) fn print() {
    super::print(&spec_reference_page());
}

struct Reference<'a> {
    schemas: &'a Map<String, Value>,
    page: String,
    /// Types that have their section.
    done: BTreeSet<String>,
}

impl Reference<'_> {
    /// Appends the section of an object at `path`, then those of the objects in its fields.
    fn describe(&mut self, schema: &str, path: &str, defaults: &Value) {
        if !self.done.insert(schema.to_owned()) {
            return;
        }
        let object = &self.schemas[schema];
        let fields = object["properties"].as_object().expect("only objects with fields have a section");
        if path.is_empty() {
            self.page += "\n## Fields\n\n";
        } else {
            self.page += &format!("\n## `{path}`\n\n{}\n\n", sentence(object));
        }
        self.page += "| field | takes | default | meaning |\n|---|---|---|---|\n";
        // What is required comes first.
        let (required, optional): (Vec<_>, Vec<_>) = fields.iter().partition(|(name, _)| is_required(object, name));
        let fields = [required, optional].concat();
        for (name, field) in &fields {
            let default = if is_required(object, name) {
                "required".to_owned()
            } else {
                self.default(field, defaults.get(name.as_str()))
            };
            let takes = self.takes(field, &below(path, name));
            self.page += &format!("| `{name}` | {takes} | {default} | {} |\n", cell(&self.meaning(field)));
        }
        for (name, field) in &fields {
            if let Some(words) = named(field).and_then(words_of) {
                self.page += &format!("\n`{}`:\n\n| word | meaning |\n|---|---|\n", below(path, name));
                for word in words {
                    self.page += &format!("| `{}` | {} |\n", word.name, cell(&word.meaning));
                }
            }
        }
        for (name, field) in &fields {
            if let Some(schema) = named(field).filter(|schema| self.is_section(schema)).map(str::to_owned) {
                let defaults = defaults.get(name.as_str()).unwrap_or(&Value::Null).clone();
                self.describe(&schema, &below(path, name), &defaults);
            }
        }
    }

    fn is_section(&self, schema: &str) -> bool {
        self.schemas[schema].get("properties").is_some()
    }

    /// What a field takes, with the range.
    fn takes(&self, field: &Value, path: &str) -> String {
        let field = present(field);
        if let Some(name) = reference(field) {
            return if self.is_section(name) { link("object", path) } else { self.takes(&self.schemas[name], path) };
        }
        if let Some(words) = field.get("enum").and_then(Value::as_array) {
            let words: Vec<String> = words.iter().filter_map(|word| Some(format!("`{}`", word.as_str()?))).collect();
            return words.join(", ");
        }
        if let Some(choices) = field.get("oneOf").and_then(Value::as_array) {
            let choices: Vec<String> = choices.iter().map(|choice| self.choice(choice, path)).collect();
            return choices.join(", or ");
        }
        match kind(field) {
            "array" => {
                format!("list of {}{}", length(field, "Items", " "), several(&self.takes(&field["items"], path)))
            }
            "object" => format!("object, name to {}", self.takes(&field["additionalProperties"], path)),
            "string" => match length(field, "Length", " characters") {
                length if length.is_empty() => "text".to_owned(),
                length => format!("text, {length}"),
            },
            "integer" => format!("whole number{}", range(field)),
            "number" => format!("number{}", range(field)),
            "boolean" => "`true`, `false`".to_owned(),
            other => panic!("docs/spec.md has no words for the type {other:?} of `{path}`"),
        }
    }

    /// One of several things that a field takes. A text among them is a word that the description says.
    fn choice(&self, choice: &Value, path: &str) -> String {
        match kind(choice) {
            "string" => sentence(choice).trim_end_matches('.').to_owned(),
            _ => self.takes(choice, path),
        }
    }

    /// The default of a field that may be left out: as the description of the API has it, else as a spec without the field is run.
    fn default(&self, field: &Value, in_spec: Option<&Value>) -> String {
        let is_object = reference(present(field)).is_some_and(|name| self.is_section(name));
        match field.get("default").or(in_spec) {
            Some(Value::Null) => "–".to_owned(),
            Some(Value::Object(_)) if is_object => "as below".to_owned(),
            Some(value) => format!("`{value}`").replace('"', ""),
            // What is left out of a spec that is written, since it is nothing.
            None => match field["type"].as_str() {
                Some("boolean") => "`false`".to_owned(),
                Some("integer") => "`0`".to_owned(),
                _ => "–".to_owned(),
            },
        }
    }

    /// The description of a field, or else of its type.
    fn meaning(&self, field: &Value) -> String {
        let own = sentence(field);
        let own = if own.is_empty() { sentence(present(field)) } else { own };
        match reference(present(field)) {
            Some(name) if own.is_empty() => sentence(&self.schemas[name]),
            _ => own,
        }
    }
}

/// The type that a field, its elements or its values are of, where that type has a name.
fn named(field: &Value) -> Option<&str> {
    let field = present(field);
    let element = [field.get("items"), field.get("additionalProperties")].into_iter().flatten().next();
    reference(field).or_else(|| reference(element?))
}

/// The fields that presets set, and to what.
fn preset_table() -> String {
    let presets = [Preset::Quick, Preset::Paper].map(Preset::sections);
    let mut fields = Vec::new();
    for (section, values) in presets.iter().filter_map(Value::as_object).flatten() {
        for (field, _) in values.as_object().into_iter().flatten() {
            let known = (section.as_str(), field.as_str());
            if !fields.contains(&known) {
                fields.push(known);
            }
        }
    }
    let mut table = String::from("\n| field | `quick` | `paper` |\n|---|---|---|\n");
    for (section, field) in fields {
        let [quick, paper] = presets.each_ref().map(|preset| match &preset[section][field] {
            Value::Null => "–".to_owned(),
            value => format!("`{value}`").replace('"', ""),
        });
        table += &format!("| `{section}.{field}` | {quick} | {paper} |\n");
    }
    table
}

/// A field without the possibility that it is `null`, which is how an absent one is described.
fn present(field: &Value) -> &Value {
    let choices = field.get("oneOf").and_then(Value::as_array);
    let present: Vec<&Value> = choices.into_iter().flatten().filter(|choice| kind(choice) != "null").collect();
    match present[..] {
        [only] => only,
        _ => field,
    }
}

/// The name of the type that is referred to.
fn reference(field: &Value) -> Option<&str> {
    field.get("$ref")?.as_str()?.strip_prefix("#/components/schemas/")
}

/// The JSON type, without `null`.
fn kind(field: &Value) -> &str {
    match &field["type"] {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null").unwrap_or_default(),
        kind => kind.as_str().unwrap_or_default(),
    }
}

fn is_required(object: &Value, name: &str) -> bool {
    object["required"].as_array().is_some_and(|required| required.iter().any(|field| field == name))
}

fn range(field: &Value) -> String {
    let bound = |name: &str| field.get(name).filter(|bound| bound.is_number());
    let least = bound("minimum").map(Value::to_string);
    let most = bound("maximum").map(Value::to_string);
    let above = bound("exclusiveMinimum").map(|bound| format!("above {bound}"));
    let under = bound("exclusiveMaximum").map(|bound| format!("below {bound}"));
    match (least, most) {
        (Some(least), Some(most)) if least == most => format!(", {least}"),
        (Some(least), Some(most)) => format!(", {least} to {most}"),
        (least, most) => {
            let least = least.map(|least| format!("{least} or more"));
            let most = most.map(|most| format!("at most {most}"));
            let bounds: Vec<String> = [least, above, most, under].into_iter().flatten().collect();
            if bounds.is_empty() { String::new() } else { format!(", {}", bounds.join(" and ")) }
        }
    }
}

/// How long a list or a text may be.
fn length(field: &Value, of: &str, unit: &str) -> String {
    let bound = |side: &str| field.get(format!("{side}{of}")).map(Value::to_string);
    match (bound("min"), bound("max")) {
        (Some(least), Some(most)) => format!("{least} to {most}{unit}"),
        (None, Some(most)) => format!("at most {most}{unit}"),
        (Some(least), None) => format!("at least {least}{unit}"),
        (None, None) => String::new(),
    }
}

/// The words for one element as those for several.
fn several(one: &str) -> String {
    let nouns =
        [("whole number", "whole numbers"), ("number", "numbers"), ("[object]", "[objects]"), ("list", "lists")];
    let noun = nouns.into_iter().find(|(noun, _)| one.starts_with(noun));
    noun.map_or_else(|| one.replacen("text", "texts", 1), |(noun, nouns)| one.replacen(noun, nouns, 1))
}

fn below(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// A link to the section of a path, by the name that GitHub gives it.
fn link(text: &str, path: &str) -> String {
    format!("[{text}](#{})", path.replace('.', ""))
}

fn sentence(schema: &Value) -> String {
    schema["description"].as_str().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A text as a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

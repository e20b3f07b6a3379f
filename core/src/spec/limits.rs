//! How much a job spec may hold: of text, of names, of numbers.
//!
//! A spec is stored with its job, shown in lists and sent to every task, so all but a replayed configuration is short.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{InputShape, InputSpec, JobSpec};
use crate::configuration::{Constraints, ReplayConfig};
use crate::dataset::source::{Resize, ResizePolicy};
use crate::graph::DType;
use crate::json;
use crate::rejection::{Code, Rejection};

/// Bytes of a whole spec; only one with a replayed configuration comes near it.
pub const LONGEST_TEXT: usize = 8 << 20;
/// Bytes of a spec beside `config`.
pub const LONGEST_REST: usize = 64 << 10;
const LONGEST_NAME: usize = 200;
const MOST_LABELS: usize = 32;
const LONGEST_LABEL_KEY: usize = 63;
const LONGEST_LABEL_VALUE: usize = 256;
/// Patterns in `constraints.ignore`, and in `constraints.layers`.
const MOST_PATTERNS: usize = 1000;
const LONGEST_PATTERN: usize = 512;
const MOST_INPUTS: usize = 16;
const HIGHEST_RANK: usize = 8;
const LARGEST_SIZE: i64 = 65_536;
/// Elements of one sample of one input.
const MOST_ELEMENTS: i64 = 1 << 27;

/// Refuses a text that would be costly to parse. One that is not JSON passes; the parser says what is wrong with it.
///
/// # Errors
/// [`Code::InvalidSpec`] when it is longer or deeper than a spec can be.
pub fn check_text(text: &str) -> Result<(), Rejection> {
    let invalid = |detail: String| Err(Rejection::new(Code::InvalidSpec, detail));
    if text.len() > LONGEST_TEXT {
        return invalid(format!("The job spec has {} bytes: at most {LONGEST_TEXT} are allowed.", text.len()));
    }
    let depth = json::depth(text.as_bytes());
    if depth > json::DEEPEST {
        return invalid(format!("The job spec is nested {depth} levels deep: at most {} are allowed.", json::DEEPEST));
    }
    let mut parser = serde_json::Deserializer::from_str(text);
    let Ok(config) = parser.deserialize_map(LengthOfConfig) else { return Ok(()) };
    let rest = text.len() - config;
    if rest > LONGEST_REST {
        return invalid(format!("The job spec has {rest} bytes beside `config`: at most {LONGEST_REST} are allowed."));
    }
    Ok(())
}

/// Finds how long the value of `config` is, and keeps nothing.
struct LengthOfConfig;

impl<'de> Visitor<'de> for LengthOfConfig {
    type Value = usize;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a job spec")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<usize, A::Error> {
        let mut length = 0;
        while let Some(name) = fields.next_key::<Cow<'de, str>>()? {
            let value = fields.next_value::<&RawValue>()?.get();
            if name == "config" {
                // Said twice it is refused later; until then only one of them counts as such.
                length = value.len();
            }
        }
        Ok(length)
    }
}

/// The limits of single fields.
pub(super) fn check(spec: &JobSpec, invalid: impl Fn(&str, String) -> Result<(), Rejection>) -> Result<(), Rejection> {
    if let Some(name) = &spec.name {
        check_name("name", name, &invalid)?;
    }
    check_inputs(spec.input_shape.as_ref(), spec.inputs.as_deref(), &invalid)?;
    check_constraints(&spec.constraints, &invalid)?;
    check_resize(spec.data.as_ref().and_then(|data| data.resize), &invalid)?;
    if let Some(config) = &spec.config
        && config.format != ReplayConfig::FORMAT
    {
        let detail = format!("`config.format` {} is not known: {} is.", config.format, ReplayConfig::FORMAT);
        return invalid("config.format", detail);
    }
    if spec.labels.len() > MOST_LABELS {
        return invalid("labels", format!("{} labels given: at most {MOST_LABELS} are allowed.", spec.labels.len()));
    }
    for (key, value) in &spec.labels {
        let (key_length, value_length) = (key.chars().count(), value.chars().count());
        if !(1..=LONGEST_LABEL_KEY).contains(&key_length) {
            return invalid(
                "labels",
                format!("A label's key has {key_length} characters: 1 to {LONGEST_LABEL_KEY} are allowed."),
            );
        }
        if value_length > LONGEST_LABEL_VALUE {
            return invalid(
                "labels",
                format!(
                    "The value of label `{}` has {value_length} characters: at most {LONGEST_LABEL_VALUE} are allowed.",
                    key.escape_debug()
                ),
            );
        }
        if key.chars().chain(value.chars()).any(char::is_control) {
            return invalid(
                "labels",
                format!("Label `{}` has a control character: printable ones are allowed.", key.escape_debug()),
            );
        }
    }
    Ok(())
}

/// The rules for pictures that do not need the model.
fn check_resize(
    resize: Option<Resize>,
    invalid: impl Fn(&str, String) -> Result<(), Rejection>,
) -> Result<(), Rejection> {
    let field = "data.resize.size";
    match resize {
        Some(Resize { size: Some(size), .. }) if !(1..=LARGEST_SIZE as usize).contains(&size) => {
            invalid(field, format!("`{field}` {size} is out of range: 1 to {LARGEST_SIZE}."))
        }
        Some(Resize { size: Some(size), policy: ResizePolicy::Stretch | ResizePolicy::None }) => invalid(
            field,
            format!(
                "`{field}` is {size}, which only the policy `crop` has a use for: leave it out, or set `\"policy\": \"crop\"`."
            ),
        ),
        _ => Ok(()),
    }
}

/// The rules for a name that is shown.
pub(super) fn check_name(
    field: &str,
    name: &str,
    invalid: impl Fn(&str, String) -> Result<(), Rejection>,
) -> Result<(), Rejection> {
    let length = name.chars().count();
    if !(1..=LONGEST_NAME).contains(&length) {
        return invalid(field, format!("`{field}` has {length} characters: 1 to {LONGEST_NAME} are allowed."));
    }
    if name.chars().any(char::is_control) {
        return invalid(field, format!("`{field}` has a control character: printable ones are allowed."));
    }
    Ok(())
}

/// The rules for what is said of inputs.
pub(super) fn check_inputs(
    shape: Option<&InputShape>,
    inputs: Option<&[InputSpec]>,
    invalid: impl Fn(&str, String) -> Result<(), Rejection>,
) -> Result<(), Rejection> {
    if let Some(shape) = shape {
        check_shapes("input_shape", &shape.shapes(), &invalid)?;
    }
    let Some(inputs) = inputs else { return Ok(()) };
    if shape.is_some() {
        return invalid("inputs", "Both `inputs` and `input_shape` are given: one of them is allowed.".to_owned());
    }
    let shapes: Vec<Vec<i64>> = inputs.iter().map(|input| input.shape.clone()).collect();
    check_shapes("inputs", &shapes, &invalid)?;
    if inputs.iter().any(|input| input.name.is_some()) && inputs.iter().any(|input| input.name.is_none()) {
        return invalid(
            "inputs",
            "Some `inputs` have a `name` and some have none: all or none are allowed.".to_owned(),
        );
    }
    for InputSpec { shape, dtype, max, value, .. } in inputs {
        if value.is_some() && (!shape.is_empty() || dtype.is_some() || max.is_some()) {
            let detail = "An input with a `value` has no `shape`, `dtype` or `max`: it takes a number and no tensor.";
            return invalid("inputs", detail.to_owned());
        }
        let is_integer = matches!(dtype, Some(DType::Int64 | DType::Int32 | DType::Int16 | DType::Int8 | DType::Uint8));
        match max {
            Some(max) if !is_integer => {
                return invalid("inputs", format!("`max` {max} is given for an input whose `dtype` is no integer."));
            }
            Some(max) if *max < 0 => {
                return invalid("inputs", format!("`max` {max} is negative: 0 and above are allowed."));
            }
            _ => {}
        }
    }
    Ok(())
}

fn check_shapes(
    field: &str,
    shapes: &[Vec<i64>],
    invalid: impl Fn(&str, String) -> Result<(), Rejection>,
) -> Result<(), Rejection> {
    let refuse = |detail: String| invalid(field, detail);
    if shapes.is_empty() || shapes.len() > MOST_INPUTS {
        return refuse(format!("`{field}` has {} shapes: 1 to {MOST_INPUTS} are allowed.", shapes.len()));
    }
    for shape in shapes {
        if shape.len() > HIGHEST_RANK {
            let rank = shape.len();
            return refuse(format!("`{field}` has {rank} dimensions: at most {HIGHEST_RANK} are allowed."));
        }
        if shape.iter().any(|size| !(1..=LARGEST_SIZE).contains(size)) {
            return refuse(format!(
                "`{field}` {shape:?} is not valid: one sample's shape without the batch, every size 1 to {LARGEST_SIZE}."
            ));
        }
        let elements = shape.iter().try_fold(1_i64, |product, &size| product.checked_mul(size));
        if elements.is_none_or(|elements| elements > MOST_ELEMENTS) {
            return refuse(format!("`{field}` {shape:?} is too large: one sample may have {MOST_ELEMENTS} elements."));
        }
    }
    Ok(())
}

fn check_constraints(
    constraints: &Constraints,
    invalid: impl Fn(&str, String) -> Result<(), Rejection>,
) -> Result<(), Rejection> {
    let ignored: Vec<&String> = constraints.ignore.iter().collect();
    let limited: Vec<&String> = constraints.layers.keys().collect();
    for (field, patterns) in [("constraints.ignore", ignored), ("constraints.layers", limited)] {
        if patterns.len() > MOST_PATTERNS {
            let count = patterns.len();
            return invalid(field, format!("`{field}` has {count} names: at most {MOST_PATTERNS} are allowed."));
        }
        let lengths = patterns.iter().map(|pattern| pattern.chars().count());
        if let Some(length) = lengths.into_iter().find(|length| !(1..=LONGEST_PATTERN).contains(length)) {
            return invalid(
                field,
                format!("`{field}` has a name of {length} characters: 1 to {LONGEST_PATTERN} are allowed."),
            );
        }
    }
    Ok(())
}

//! Options that make a job spec.

use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueEnum};
use secateur_core::spec::{InputShape, InputSpec};
use serde_json::{Map, Value, json};

use super::CliError;

#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum MethodChoice {
    /// Search over millions of configurations, guided by graph embedding and measured sensitivities
    Sacp,
    /// The same share of every group
    Uniform,
    /// One threshold over the L1 norms of all channels
    GlobalL1,
    /// One threshold over the L2 norms of all channels
    GlobalL2,
}

/// The presets of a spec.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum PresetChoice {
    /// Minutes on two cores for a small network
    Quick,
    /// The SACP paper's
    Paper,
}

/// A spec file, and options that go before what it says.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("target").args(["flops", "params", "channels", "latency", "spec"]).multiple(true).required(true))]
pub(super) struct SpecOptions {
    /// Share of the multiply-accumulates to remove, 0.7 removes 70 %
    #[arg(long, value_name = "SHARE", conflicts_with_all = ["params", "channels", "latency"])]
    flops: Option<f64>,
    /// Share of the parameters to remove
    #[arg(long, value_name = "SHARE", conflicts_with_all = ["channels", "latency"])]
    params: Option<f64>,
    /// Share of the prunable channels to remove
    #[arg(long, value_name = "SHARE", conflicts_with = "latency")]
    channels: Option<f64>,
    /// Share of the latency at batch 1 on this machine to remove, by a table that is measured first
    #[arg(long, value_name = "SHARE")]
    latency: Option<f64>,
    /// A job spec as JSON; options go before what it says
    #[arg(long, value_name = "FILE")]
    spec: Option<PathBuf>,
    /// How widths are chosen
    #[arg(long)]
    method: Option<MethodChoice>,
    /// Sizes of search and training for a purpose
    #[arg(long)]
    preset: Option<PresetChoice>,
    /// Epochs of fine-tuning
    #[arg(long, value_name = "N", conflicts_with = "no_fine_tune")]
    epochs: Option<u32>,
    /// Prune only
    #[arg(long)]
    no_fine_tune: bool,
    /// Seed of everything random
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// One sample's shape without the batch, `3,32,32`; once for each input
    #[arg(long, value_name = "SIZES", value_parser = parse_shape)]
    input_shape: Vec<Vec<i64>>,
    /// An input with its type, `7:int64`, and the largest number of an integer one, `7:int64:30521`; `=16000` for an input that takes
    /// a number; once for each input, in their order or with their names, `ids=7:int64`
    #[arg(long, value_name = "[NAME=]SIZES[:DTYPE[:MAX]]|[NAME=]=NUMBER", value_parser = parse_input, conflicts_with = "input_shape")]
    input: Vec<InputSpec>,
    /// The model sees (stored - mean) / std: one number, or one for each channel
    #[arg(long, value_name = "NUMBERS", value_parser = parse_numbers, requires = "std")]
    mean: Option<Value>,
    /// The std of that
    #[arg(long, value_name = "NUMBERS", value_parser = parse_numbers, requires = "mean")]
    std: Option<Value>,
}

/// `3,32,32`
pub(super) fn parse_shape(text: &str) -> Result<Vec<i64>, String> {
    let sizes: Result<Vec<i64>, _> = text.split(',').map(|size| size.trim().parse()).collect();
    sizes.map_err(|_| format!("`{text}` is no shape: sizes with commas between, such as 3,32,32"))
}

/// `3,32,32`, `7:int64` or `7:int64:30521`; no sizes are one number for each sample. `=16000` for an input that takes a number. All of
/// these may have a name in front, `ids=7:int64`.
pub(super) fn parse_input(text: &str) -> Result<InputSpec, String> {
    match text.split_once('=') {
        Some((name, rest)) if !name.is_empty() => {
            Ok(InputSpec { name: Some(name.trim().to_owned()), ..parse_input_without_name(rest)? })
        }
        _ => parse_input_without_name(text),
    }
}

fn parse_input_without_name(text: &str) -> Result<InputSpec, String> {
    if let Some(number) = text.strip_prefix('=') {
        let value = number.trim().parse().map_err(|_| format!("`{text}` gives no number, as =16000 does"))?;
        return Ok(InputSpec { value: Some(value), ..InputSpec::from(Vec::new()) });
    }
    let mut parts = text.split(':');
    let sizes = parts.next().unwrap_or_default();
    let shape = if sizes.trim().is_empty() { Vec::new() } else { parse_shape(sizes)? };
    let (dtype, max) = (parts.next(), parts.next());
    if parts.next().is_some() {
        return Err(format!("`{text}` has more than sizes, a type and the largest number, as in 7:int64:30521"));
    }
    let dtype = dtype.map(|name| serde_json::from_value(json!(name))).transpose().map_err(|_| {
        format!("`{text}` names no type: float32, int64, int32, int16, int8, uint8 and bool are the usual ones")
    })?;
    let max = max.map(str::parse).transpose().map_err(|_| format!("`{text}` does not end with a number"))?;
    Ok(InputSpec { dtype, max, ..InputSpec::from(shape) })
}

/// `128` or `0.485,0.456,0.406`, as in the spec.
fn parse_numbers(text: &str) -> Result<Value, String> {
    let numbers: Result<Vec<f64>, _> = text.split(',').map(|number| number.trim().parse()).collect();
    match numbers {
        Ok(numbers) if numbers.len() == 1 => Ok(json!(numbers[0])),
        Ok(numbers) => Ok(json!(numbers)),
        Err(_) => Err(format!("`{text}` is not a number, nor numbers with commas between")),
    }
}

impl SpecOptions {
    /// The spec file's fields, with the options over them.
    pub(super) fn fields(&self) -> Result<Map<String, Value>, CliError> {
        let mut fields: Map<String, Value> = match &self.spec {
            Some(path) => {
                let json = std::fs::read_to_string(path)
                    .map_err(|error| CliError::new(format!("{}: {error}", path.display())))?;
                serde_json::from_str(&json).map_err(|error| CliError::new(format!("{}: {error}", path.display())))?
            }
            None => Map::new(),
        };
        let target = [
            ("flops_reduction", self.flops),
            ("params_reduction", self.params),
            ("channel_reduction", self.channels),
            ("latency_reduction", self.latency),
        ];
        if let Some((metric, Some(share))) = target.into_iter().find(|(_, share)| share.is_some()) {
            // What else the file's target has, such as the drop that it allows, stays.
            let mut changed =
                fields.remove("target").and_then(|target| target.as_object().cloned()).unwrap_or_default();
            for (other, _) in target {
                changed.remove(other);
            }
            changed.insert(metric.to_owned(), json!(share));
            fields.insert("target".to_owned(), Value::Object(changed));
        }
        if let Some(method) = self.method.and_then(|method| method.to_possible_value()) {
            fields.insert("method".to_owned(), json!(method.get_name()));
        }
        if let Some(preset) = self.preset.and_then(|preset| preset.to_possible_value()) {
            fields.insert("preset".to_owned(), json!(preset.get_name()));
        }
        if let Some(seed) = self.seed {
            fields.insert("seed".to_owned(), json!(seed));
        }
        if self.no_fine_tune {
            fields.insert("fine_tune".to_owned(), Value::Null);
        }
        if let Some(epochs) = self.epochs {
            let fine_tune = fields.entry("fine_tune").or_insert_with(|| json!({}));
            if fine_tune.is_null() {
                *fine_tune = json!({});
            }
            fine_tune["epochs"] = json!(epochs);
        }
        if let Some(shape) = InputShape::of(self.input_shape.clone()) {
            fields.insert("input_shape".to_owned(), json!(shape));
        }
        if !self.input.is_empty() {
            fields.insert("inputs".to_owned(), json!(self.input));
        }
        if let (Some(mean), Some(std)) = (&self.mean, &self.std) {
            fields.insert("input".to_owned(), json!({"mean": mean, "std": std}));
        }
        Ok(fields)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Options {
        #[command(flatten)]
        spec: SpecOptions,
    }

    #[test]
    fn a_share_takes_the_place_of_the_files_and_the_allowed_drop_stays() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, r#"{"target": {"params_reduction": 0.3, "max_metric_drop": 0.02}, "seed": 7}"#).unwrap();
        let options = Options::parse_from(["test", "--flops", "0.5", "--spec", file.path().to_str().unwrap()]);
        let fields = options.spec.fields().unwrap();
        assert_eq!(fields["target"], json!({"max_metric_drop": 0.02, "flops_reduction": 0.5}));
        assert_eq!(fields["seed"], 7);
    }
}

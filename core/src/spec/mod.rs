//! What the user asks for: the job spec, parsed once at the edge and trusted afterwards.
//!
//! [`JobSpec::from_json`] is the only door. It refuses unknown fields and values outside their range with a
//! [`Rejection`] that names the field's path, the value and what is allowed. Everything but the target has a default.

mod fine_tune;
mod importance;
mod inspection;
mod judge;
mod limits;
mod recovery;
mod schedule;
mod search;
mod target;
mod triton;
mod vocabulary;
mod webhook;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Number;
use strum::{EnumMessage, IntoStaticStr, VariantArray};
use utoipa::ToSchema;

use crate::configuration::{Constraints, Origin, ReplayConfig};
use crate::dataset::source::Resize;
use crate::graph::DType;
use crate::importance::{Criterion, ImportanceSpec};
use crate::output::OutputSpec;
use crate::plain_text::{escaped, escaped_within};
use crate::rejection::{Code, Rejection};

pub use fine_tune::{Augmentation, BatchNorm, FineTune, LabelSettings, Objective, Optimizer, Precision};
pub use inspection::InspectionSpec;
pub use judge::JudgeSpec;
pub use limits::{LONGEST_REST, LONGEST_TEXT, check_text};
pub use recovery::{ClosedForm, RecoverySpec};
pub use schedule::{RequiredDevice, Requirements};
pub use search::{EncoderObjective, EncoderSpec, Preset, RankingChoice, SearchSpec};
pub use target::{TARGET_TOLERANCE, Target, TargetWire};
pub use triton::TritonSpec;
pub use vocabulary::{Word, words_of};
pub use webhook::{WebhookEvent, WebhookSpec};

use search::with_preset;

/// How the widths are chosen.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, IntoStaticStr, EnumMessage, VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Method {
    /// Graph embedding and search over millions of configurations (Liu et al., arXiv 2506.11469), calibrated on the
    /// network's own sensitivities when there is data; the classical methods' networks always take part in the screen.
    Sacp,
    /// The same share of every group, the channels of least L1 norm.
    Uniform,
    /// One threshold over the L1 norms of all groups' channels, normalised by group.
    GlobalL1,
    /// One threshold over the L2 norms of all groups' channels, normalised by group (DepGraph's criterion).
    GlobalL2,
    /// A configuration that an earlier job wrote, replayed from `config`.
    Config,
}

impl Method {
    /// The name in specs and reports.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// What its candidates come from; `None` for `sacp`, whose rankings and baselines say it themselves.
    pub fn origin(self) -> Option<Origin> {
        match self {
            Self::Sacp => None,
            Self::Uniform => Some(Origin::Uniform),
            Self::GlobalL1 => Some(Origin::GlobalL1),
            Self::GlobalL2 => Some(Origin::GlobalL2),
            Self::Config => Some(Origin::Config),
        }
    }
}

/// One number for all channels, or one for each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum PerChannel {
    /// One number for all channels.
    All(f64),
    /// One number for each channel, in their order.
    Each(Vec<f64>),
}

/// How stored samples become inputs: the model sees `(stored - mean) / std`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InputScaling {
    /// What is subtracted from the stored values.
    pub mean: PerChannel,
    /// What the difference is divided by, greater than 0.
    pub std: PerChannel,
}

/// One sample's shape without the batch, or a list of shapes for a model with several inputs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum InputShape {
    /// The shape of the only input.
    One(Vec<i64>),
    /// The shapes of all inputs, in the order of `forward`'s arguments.
    Many(Vec<Vec<i64>>),
}

impl InputShape {
    /// The shapes of so many inputs; `None` when there is none.
    pub fn of(mut shapes: Vec<Vec<i64>>) -> Option<Self> {
        match shapes.len() {
            0 => None,
            1 => shapes.pop().map(Self::One),
            _ => Some(Self::Many(shapes)),
        }
    }

    /// The shapes, one per input of the model.
    pub fn shapes(&self) -> Vec<Vec<i64>> {
        match self {
            Self::One(shape) => vec![shape.clone()],
            Self::Many(shapes) => shapes.clone(),
        }
    }
}

/// One input of the model, as its samples are given to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InputSpec {
    /// The argument of `forward` that it is for. Inputs that all have a name may be given in any order; without, the order is that of
    /// the arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// One sample's shape without the batch; `[]` is one number for each sample.
    #[serde(default)]
    pub shape: Vec<i64>,
    /// Type of the elements; absent: as the archive records it, else `float32`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub dtype: Option<DType>,
    /// The largest number that an integer input may hold, such as the size of a vocabulary less one; absent: what the embedding that
    /// reads the input has, else 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub max: Option<i64>,
    /// Of an input that takes a number and no tensor, such as a sampling rate: the number, 0 or 1 for a truth value. The model is pruned
    /// for this number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>)]
    pub value: Option<Number>,
}

impl From<Vec<i64>> for InputSpec {
    fn from(shape: Vec<i64>) -> Self {
        Self { name: None, shape, dtype: None, max: None, value: None }
    }
}

/// The inputs that `inputs` or `input_shape` tells; at most one of them is given.
pub(crate) fn inputs_of(inputs: Option<&[InputSpec]>, shape: Option<&InputShape>) -> Option<Vec<InputSpec>> {
    match (inputs, shape) {
        (Some(inputs), _) => Some(inputs.to_vec()),
        (None, Some(shape)) => Some(shape.shapes().into_iter().map(InputSpec::from).collect()),
        (None, None) => None,
    }
}

/// How a data set of pictures, recordings or tables becomes arrays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DataSpec {
    /// What is done with pictures that do not have the model's size. Absent: they are cropped where the model takes 64 x 64 or more, and
    /// stretched where it takes less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resize: Option<Resize>,
}

/// What a job is to do. Serialising it gives the spec as run, defaults filled in. As JSON it has at most 65536 bytes beside `config`,
/// and 8388608 with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JobSpec {
    /// A name for the job, shown in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 200)]
    pub name: Option<String>,
    /// What is to be removed.
    #[schema(value_type = TargetWire)]
    pub target: Target,
    /// At most 16 inputs of 8 dimensions; a size is 1 to 65536, and one sample has at most 134217728 elements.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_shape: Option<InputShape>,
    /// Shape, type and range of each input, instead of `input_shape`; within the same limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<Vec<InputSpec>>,
    /// How stored samples become inputs; absent when they are inputs already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<InputScaling>,
    /// How a data set of pictures becomes arrays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<DataSpec>,
    /// How the widths are chosen.
    #[serde(default = "default_method")]
    pub method: Method,
    /// Settings for a purpose, which fill in what the spec leaves out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<Preset>,
    /// The configuration to replay, the content of an earlier job's `config.json`; with `method: "config"` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<ReplayConfig>,
    /// Seed of all random choices.
    #[serde(default)]
    pub seed: u64,
    /// The limits on the widths of the layers.
    #[serde(default)]
    pub constraints: Constraints,
    /// The order of the channels within a group; with `sacp` only.
    #[serde(default)]
    pub importance: ImportanceSpec,
    /// The graph encoder; with `sacp` only.
    #[serde(default)]
    pub encoder: EncoderSpec,
    /// The search; with `sacp` only.
    #[serde(default)]
    pub search: SearchSpec,
    /// What is done with a cut network before it is trained; with a data set only.
    #[serde(default)]
    pub recovery: RecoverySpec,
    /// How pruned networks are trained; `null` prunes only.
    #[serde(default = "default_fine_tune")]
    pub fine_tune: Option<FineTune>,
    /// An outside judge, who chooses among the finalists; absent: the job's own metric chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge: Option<JudgeSpec>,
    /// A model for Triton beside the pruned file, the artifact `triton.zip`; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub triton: Option<TritonSpec>,
    /// Also makes the control experiment with random channels, whatever it costs; with `sacp` it is made anyway where it costs at
    /// most 5 % of the job.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub diagnostics: bool,
    /// Of two jobs of one tenant the one with the greater number goes first.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schema(minimum = -100, maximum = 100)]
    pub priority: i32,
    /// What a worker must have to take the job; absent: nothing.
    #[serde(default, skip_serializing_if = "Requirements::is_empty")]
    pub requires: Requirements,
    /// Seconds that the tasks of the job may run, all added up. Time in the queue, at a pause or at a judge does not count. When they are
    /// over the job fails, and what it has found so far stays; absent: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 2_592_000)]
    pub max_runtime_s: Option<u32>,
    /// Where a server tells how the job went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<WebhookSpec>,
    /// At most 32; a key has 1 to 63 characters, a value at most 256.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &i32) -> bool {
    *number == 0
}

fn default_method() -> Method {
    Method::Sacp
}

fn default_fine_tune() -> Option<FineTune> {
    Some(FineTune::default())
}

impl JobSpec {
    /// What the spec says of the model's inputs; `None` where the model itself or the data set tells.
    pub fn model_inputs(&self) -> Option<Vec<InputSpec>> {
        inputs_of(self.inputs.as_deref(), self.input_shape.as_ref())
    }

    /// Steps of distillation that every screened network gets: without a word of the spec none where networks are repaired in closed
    /// form, which brings back more than so many steps, and 50 where they are not.
    pub fn repair_steps(&self) -> u32 {
        self.search.repair_steps.unwrap_or(match self.recovery.closed_form {
            ClosedForm::Always | ClosedForm::Auto => 0,
            ClosedForm::Never => 50,
        })
    }

    /// What the spec says of the model's outputs.
    pub fn outputs(&self) -> &[OutputSpec] {
        self.fine_tune.as_ref().map_or(&[], |fine_tune| &fine_tune.outputs)
    }

    /// What an engine is to know of the spec: all but whom the server tells.
    #[must_use]
    pub fn without_webhook(&self) -> Self {
        Self { webhook: None, ..self.clone() }
    }

    /// What says how labels are read: the objective and the settings of its loss.
    pub fn label_settings(&self) -> LabelSettings {
        self.fine_tune.as_ref().map_or_else(|| FineTune::default().labels(), FineTune::labels)
    }

    /// Refuses what a job without a data set cannot do.
    ///
    /// # Errors
    /// [`Code::InvalidSpec`] with the path of the field that needs data in `node`.
    pub fn check_without_data(&self) -> Result<(), Rejection> {
        let criterion = self.importance.criterion;
        if criterion == Criterion::Taylor {
            return Err(Rejection::new(
                Code::InvalidSpec,
                format!("The job has no data set, and `importance.criterion` `{}` needs samples.", criterion.as_str()),
            )
            .at("importance.criterion")
            .hint("Give a data set, or choose `l1`, `l2`, `bn_scale` or `fpgm`, which look at the weights alone."));
        }
        if self.target.max_metric_drop.is_some() {
            return Err(Rejection::new(
                Code::InvalidSpec,
                "The job has no data set, and `target.max_metric_drop` needs one to measure on.",
            )
            .at("target.max_metric_drop")
            .hint("Give a data set, or leave `target.max_metric_drop` out."));
        }
        Ok(())
    }

    /// Parses and checks a spec.
    ///
    /// # Errors
    /// [`Code::InvalidSpec`] with the path of the field in `node`.
    pub fn from_json(json: &str) -> Result<Self, Rejection> {
        check_text(json)?;
        let json = with_preset(json);
        let mut reader = serde_json::Deserializer::from_str(&json);
        let spec: Self = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            // Both repeat what was written, at any length.
            let path = escaped(&error.path().to_string());
            let cause = escaped_within(&without_position(&error.inner().to_string()), 1000);
            if path == "." {
                Rejection::new(Code::InvalidSpec, format!("The job spec is not valid: {cause}."))
            } else {
                Rejection::new(Code::InvalidSpec, format!("`{path}` is not valid: {cause}.")).at(path)
            }
        })?;
        reader.end().map_err(|_| {
            Rejection::new(Code::InvalidSpec, "The job spec must be one JSON object with nothing behind it.")
        })?;
        spec.check()?;
        Ok(spec)
    }

    /// The rules between fields and for plain numbers.
    fn check(&self) -> Result<(), Rejection> {
        let invalid = |field: &str, detail: String| Err(Rejection::new(Code::InvalidSpec, detail).at(field));
        limits::check(self, invalid)?;
        if let Some(scaling) = &self.input {
            let numbers = |values: &PerChannel| match values {
                PerChannel::All(value) => vec![*value],
                PerChannel::Each(values) => values.clone(),
            };
            if let Some(std) = numbers(&scaling.std).into_iter().find(|&std| std <= 0.0) {
                return invalid("input.std", format!("`input.std` {std} is out of range: it must be greater than 0."));
            }
        }
        match (self.method, &self.config) {
            (Method::Config, None) => {
                return invalid(
                    "config",
                    "`config` is missing: `method: \"config\"` replays the content of an earlier job's `config.json`."
                        .to_owned(),
                );
            }
            (Method::Config, Some(_)) | (_, None) => {}
            (other, Some(_)) => {
                return invalid(
                    "config",
                    format!(
                        "`config` is for `method: \"config\"`; the method is `{}`. Leave it out, or replay it with that method.",
                        other.as_str()
                    ),
                );
            }
        }
        importance::check(self.importance, self.method, invalid)?;
        recovery::check(&self.recovery, invalid)?;
        schedule::check(self.priority, self.requires, self.max_runtime_s, invalid)?;
        if let Some(judge) = &self.judge {
            judge::check(judge, invalid)?;
        }
        if let Some(triton) = &self.triton {
            triton::check(triton, invalid)?;
        }
        if let Some(webhook) = &self.webhook {
            webhook::check(webhook, invalid)?;
        }
        if let Some(settings) = &self.fine_tune {
            fine_tune::check(settings, invalid)?;
        }
        if self.method == Method::Sacp {
            search::check(&self.encoder, &self.search, invalid)?;
        }
        Ok(())
    }
}

/// serde_json appends ` at line 1 column 9`, which says nothing beside the path.
fn without_position(message: &str) -> String {
    match message.rfind(" at line ") {
        Some(at) => message[..at].to_owned(),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests;

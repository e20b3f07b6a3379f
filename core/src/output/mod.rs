//! What the tensors mean that a model returns: classes, probabilities, directions, or plain values.
//!
//! How well a cut network does, and what it is trained for, hangs on that. The graph tells: a `softmax` at the end makes its axis one of
//! classes, a `sigmoid` makes every element a probability, a division by a norm makes the axis of the norm a direction. Steps that only
//! move or join elements are looked through. Where a network returns what a layer computed, the shape is all there is to go by: such an
//! output is taken for scores of classes where it may be one and no other output is a softmax, and is marked as presumed.
//!
//! Losses and metrics work on the tensor before a final softmax or sigmoid ([`before_squashing`]), so that nothing is squashed twice.

mod axis;
mod meaning;
mod unsquash;

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use strum::{EnumMessage, IntoStaticStr, VariantArray};
use utoipa::ToSchema;

use crate::graph::{Graph, Output, Producer, ValueId};
use crate::rejection::{Code, Rejection};

pub use unsquash::{before_squashing, fractional};

use meaning::Reader;

/// What the elements of an output are.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema, IntoStaticStr, EnumMessage, VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum OutputKind {
    /// Along one axis the classes of a categorical distribution: scores, probabilities or their logarithms.
    Categorical,
    /// Every element is the probability of one thing, or its logit.
    Bernoulli,
    /// Along one axis a vector of length one.
    Unit,
    /// Numbers.
    Values,
    /// No loss and no metric looks at it: whole numbers, truth values, or what the spec leaves out.
    Ignore,
}

impl OutputKind {
    /// The name in specs and reports.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// What the model itself makes of the scores before it returns them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, ToSchema, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Squashing {
    /// Nothing.
    #[default]
    None,
    /// Probabilities over an axis.
    Softmax,
    /// Their logarithms.
    LogSoftmax,
    /// A probability for each element.
    Sigmoid,
    /// Its logarithm.
    LogSigmoid,
}

/// What is known of one tensor that the model returns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ModelOutput {
    /// Which of the returned tensors, in reading order, from 0.
    pub index: usize,
    /// Where it stands in what the model returns: `0`, `1.scores`; empty where that is one tensor.
    pub name: String,
    /// What its elements are.
    pub kind: OutputKind,
    /// The axis of the classes, of the vector, or of the channels of values; counted from 0, the batch included.
    pub axis: Option<usize>,
    /// What the model makes of the scores at its end.
    pub squashing: Squashing,
    /// Whether the shape alone speaks for the kind.
    pub presumed: bool,
    /// The returned tensors that are computed from this one, which is a step on the way there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub feeds: Vec<usize>,
}

/// What a job says of one output of its model, in the place of what the graph tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OutputSpec {
    /// Which of the returned tensors, in reading order, from 0; this or `name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<usize>,
    /// The place in what the model returns, as an inspection shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What its elements are; absent: as found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<OutputKind>,
    /// The axis of the classes, of the vector or of the channels; negative ones count from the end. Absent: as found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub axis: Option<i64>,
    /// Weight of its distillation loss beside those of the other outputs. Absent: 1, or 0.1 where another output is computed from this one,
    /// as with features that are returned beside the result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0.0, maximum = 1000.0)]
    pub weight: Option<f64>,
    /// What the class scores are divided by in `kl`. Absent: 4 for one distribution a sample, as is usual for classifiers (Hinton
    /// et al., 2015), and 1 for maps and sequences.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0.1, maximum = 100.0)]
    pub temperature: Option<f64>,
    /// The distillation loss; absent: what fits the kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<DistillationLoss>,
}

/// How far an output is from the original's.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, IntoStaticStr, EnumMessage, VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum DistillationLoss {
    /// Kullback-Leibler divergence over the class axis, softened by a temperature.
    Kl,
    /// Binary cross-entropy, less what the original's own uncertainty makes of it.
    Bce,
    /// One minus the cosine of the angle between the vectors.
    Cosine,
    /// Squared difference over the variance of the channel.
    Mse,
    /// The same up to one standard deviation and linear beyond (Huber).
    Huber,
    /// Absolute difference over the standard deviation of the channel.
    L1,
}

impl DistillationLoss {
    /// The name in specs.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Whether it can measure outputs of this kind.
    pub fn fits(self, kind: OutputKind) -> bool {
        match self {
            Self::Kl => kind == OutputKind::Categorical,
            Self::Bce => kind == OutputKind::Bernoulli,
            Self::Cosine => matches!(kind, OutputKind::Unit | OutputKind::Values),
            Self::Mse | Self::Huber | Self::L1 => kind != OutputKind::Ignore,
        }
    }
}

/// Softens the class distributions of a distillation (Hinton et al., 2015).
const TEMPERATURE: f64 = 4.0;

/// The same where a sample has many of them: most places of a map or a sequence are sure of their class, and softened, what the original says
/// of the others drowns in the small scores of these.
const TEMPERATURE_OF_PLACES: f64 = 1.0;

/// Weight of an output that another one which counts is computed from, beside 1 for the others.
const WEIGHT_ON_THE_WAY: f64 = 0.1;

/// An output with the part that it has in the loss.
#[derive(Debug, Clone, PartialEq)]
pub struct Objective {
    /// What it is.
    pub output: ModelOutput,
    /// Weight of its loss beside those of the others.
    pub weight: f64,
    /// The loss that the spec asks for.
    pub loss: Option<DistillationLoss>,
    /// What class scores are divided by in a distillation.
    pub temperature: f64,
}

/// What the graph tells of every tensor that the model returns.
pub fn outputs(graph: &Graph) -> Vec<ModelOutput> {
    let mut reader = Reader::new(graph);
    let places = places(graph.output()).into_iter().enumerate();
    let mut outputs: Vec<ModelOutput> =
        places.map(|(index, (name, value))| reader.output(index, name, value)).collect();
    // Whoever returns probabilities of classes returns no scores beside them: what stands there are boxes, points, angles.
    if outputs.iter().any(|output| matches!(output.squashing, Squashing::Softmax | Squashing::LogSoftmax)) {
        for output in outputs.iter_mut().filter(|output| output.presumed) {
            output.kind = OutputKind::Values;
        }
    }
    let values = graph.output().tensors();
    let behind: Vec<HashSet<ValueId>> = values.iter().map(|&value| behind(graph, value)).collect();
    for output in &mut outputs {
        let value = values[output.index];
        output.feeds = (0..values.len()).filter(|&other| behind[other].contains(&value)).collect();
    }
    outputs
}

/// All that a tensor is computed from, without itself.
fn behind(graph: &Graph, value: ValueId) -> HashSet<ValueId> {
    let (mut found, mut open) = (HashSet::new(), vec![value]);
    while let Some(value) = open.pop() {
        if let Producer::Node { node, .. } = graph.producer(value) {
            open.extend(graph.nodes()[node].inputs().into_iter().filter(|&input| found.insert(input)));
        }
    }
    found
}

/// The same with what the spec says of them.
///
/// # Errors
/// [`Code::InvalidSpec`]: an entry of `outputs` names no output, or an axis or a loss that it cannot have.
pub fn objectives(graph: &Graph, specs: &[OutputSpec]) -> Result<Vec<Objective>, Rejection> {
    let values = graph.output().tensors();
    let objective = |output: ModelOutput| {
        let is_one_a_sample = graph.value(values[output.index]).shape.len() <= 2;
        let temperature = if is_one_a_sample { TEMPERATURE } else { TEMPERATURE_OF_PLACES };
        Objective { output, weight: 1.0, loss: None, temperature }
    };
    let mut objectives: Vec<Objective> = outputs(graph).into_iter().map(objective).collect();
    for (at, spec) in specs.iter().enumerate() {
        let field = |name: &str| format!("fine_tune.outputs[{at}].{name}");
        let index = chosen(spec, &objectives).map_err(|(name, detail)| invalid(detail).at(field(name)))?;
        let objective = &mut objectives[index];
        let output = &mut objective.output;
        if let Some(kind) = spec.kind {
            output.presumed = false;
            if kind != output.kind {
                output.axis = None;
            }
            output.kind = kind;
        }
        let rank = graph.value(values[index]).shape.len();
        if let Some(axis) = spec.axis {
            let counted = if axis < 0 { axis + rank as i64 } else { axis };
            output.axis = usize::try_from(counted).ok().filter(|&counted| counted < rank);
            if output.axis.is_none() {
                let least = -(rank as i64);
                return Err(invalid(format!(
                    "`{}` {axis} is out of range: output {index} has rank {rank}, so {least} to {} are allowed.",
                    field("axis"),
                    rank as i64 - 1
                ))
                .at(field("axis")));
            }
        }
        if matches!(output.kind, OutputKind::Categorical | OutputKind::Unit) && output.axis.is_none() {
            if rank != 2 {
                return Err(invalid(format!(
                    "Output {index} has rank {rank}, and `{}` is missing: it must say which axis the {} has.",
                    field("axis"),
                    if output.kind == OutputKind::Unit { "vector" } else { "class" }
                ))
                .at(field("axis")));
            }
            output.axis = Some(1);
        }
        if let Some(loss) = spec.loss.filter(|loss| !loss.fits(output.kind)) {
            return Err(invalid(format!(
                "`{}` `{}` does not fit output {index}, whose kind is `{}`.",
                field("loss"),
                loss.as_str(),
                output.kind.as_str()
            ))
            .at(field("loss")));
        }
        objective.loss = spec.loss;
        objective.temperature = spec.temperature.unwrap_or(objective.temperature);
    }
    let counts = |index: &usize| objectives[*index].output.kind != OutputKind::Ignore;
    let weights: Vec<f64> = objectives
        .iter()
        .map(|objective| if objective.output.feeds.iter().any(counts) { WEIGHT_ON_THE_WAY } else { 1.0 })
        .collect();
    for (objective, weight) in objectives.iter_mut().zip(weights) {
        objective.weight = weight;
    }
    for spec in specs {
        if let (Some(weight), Ok(index)) = (spec.weight, chosen(spec, &objectives)) {
            objectives[index].weight = weight;
        }
    }
    Ok(objectives)
}

/// Which output an entry speaks of; else the field that is wrong and what is wrong with it.
fn chosen(spec: &OutputSpec, objectives: &[Objective]) -> Result<usize, (&'static str, String)> {
    match (spec.index, &spec.name) {
        (Some(index), None) if index < objectives.len() => Ok(index),
        (Some(index), None) => Err((
            "index",
            format!("There is no output {index}: the model returns {} tensors, counted from 0.", objectives.len()),
        )),
        (None, Some(name)) => objectives.iter().position(|objective| objective.output.name == *name).ok_or_else(|| {
            let names: Vec<String> =
                objectives.iter().map(|objective| format!("`{}`", objective.output.name)).collect();
            ("name", format!("There is no output {name:?}; the model returns {}.", names.join(", ")))
        }),
        (None, None) => Err(("index", "An output is chosen by `index` or by `name`; both are missing.".to_owned())),
        (Some(_), Some(_)) => Err(("index", "An output is chosen by `index` or by `name`, not by both.".to_owned())),
    }
}

fn invalid(detail: String) -> Rejection {
    Rejection::new(Code::InvalidSpec, detail)
}

/// The tensors of a structure, in reading order, each with its place.
fn places(output: &Output) -> Vec<(String, ValueId)> {
    let mut found = Vec::new();
    collect(output, &mut Vec::new(), &mut found);
    found
}

fn collect(output: &Output, path: &mut Vec<String>, found: &mut Vec<(String, ValueId)>) {
    let mut within = |step: String, part: &Output| {
        path.push(step);
        collect(part, path, found);
        path.pop();
    };
    match output {
        Output::Tensor(value) => found.push((path.join("."), *value)),
        Output::Tuple(parts) | Output::List(parts) => {
            parts.iter().enumerate().for_each(|(index, part)| within(index.to_string(), part));
        }
        Output::Dict(entries) => entries.iter().for_each(|(key, part)| within(key.clone(), part)),
        Output::None => {}
    }
}

#[cfg(test)]
mod tests;

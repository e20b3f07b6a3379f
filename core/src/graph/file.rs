//! The wire form of a graph: what the importer writes and `graph.json` holds.

use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;
use utoipa::ToSchema;

/// Version of the JSON wire form; a reader refuses every other.
pub const FORMAT: u32 = 1;

/// Index of a value in [`GraphFile::values`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ValueId(pub u32);

impl ValueId {
    /// The index as a `usize`.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A size that is affine in the batch: `fixed + per_sample * batch`.
///
/// On the wire a plain number when it does not depend on the batch, else `{"per_sample": 1, "fixed": 0}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "SizeWire", into = "SizeWire")]
pub struct Size {
    /// What each sample of the batch adds.
    pub per_sample: i64,
    /// What does not depend on the batch.
    pub fixed: i64,
}

impl Size {
    /// The size of the batch itself.
    pub const BATCH: Self = Self { per_sample: 1, fixed: 0 };

    /// A size that does not depend on the batch.
    pub fn fixed(size: i64) -> Self {
        Self { per_sample: 0, fixed: size }
    }

    /// The size at this batch.
    pub fn at_batch(self, batch: i64) -> i64 {
        self.fixed + self.per_sample * batch
    }

    /// The size when it does not depend on the batch.
    pub fn as_fixed(self) -> Option<i64> {
        (self.per_sample == 0).then_some(self.fixed)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum SizeWire {
    Fixed(i64),
    Affine { per_sample: i64, fixed: i64 },
}

impl From<SizeWire> for Size {
    fn from(wire: SizeWire) -> Self {
        match wire {
            SizeWire::Fixed(fixed) => Self::fixed(fixed),
            SizeWire::Affine { per_sample, fixed } => Self { per_sample, fixed },
        }
    }
}

impl From<Size> for SizeWire {
    fn from(size: Size) -> Self {
        match size.as_fixed() {
            Some(fixed) => Self::Fixed(fixed),
            None => Self::Affine { per_sample: size.per_sample, fixed: size.fixed },
        }
    }
}

/// Element type of a tensor, by its PyTorch name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum DType {
    /// `torch.float32`.
    Float32,
    /// `torch.float64`.
    Float64,
    /// `torch.float16`.
    Float16,
    /// `torch.bfloat16`.
    Bfloat16,
    /// `torch.int64`.
    Int64,
    /// `torch.int32`.
    Int32,
    /// `torch.int16`.
    Int16,
    /// `torch.int8`.
    Int8,
    /// `torch.uint8`.
    Uint8,
    /// `torch.bool`.
    Bool,
}

impl DType {
    /// Its name in PyTorch, without `torch.`.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A tensor in the graph: its shape and dtype as recorded by the importer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Value {
    /// The size of each dimension.
    pub shape: Vec<Size>,
    /// The type of its elements.
    pub dtype: DType,
    /// Of an integer input: the largest number that samples may hold, for inputs that are drawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<i64>,
}

/// How a model owns a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParameterKind {
    /// `register_parameter`; trained.
    Parameter,
    /// `register_buffer`; in the `state_dict`, not trained.
    Buffer,
    /// A tensor attribute or a lifted constant; not in the `state_dict`.
    Constant,
}

/// A tensor that the model owns, by its original dotted name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameter {
    /// The dotted name, unique.
    pub name: String,
    /// How the model owns it.
    pub kind: ParameterKind,
    /// The value that nodes read; present also when no node does.
    pub value: ValueId,
    /// Whether training changes it.
    #[serde(default)]
    pub requires_grad: bool,
    /// For tied weights: the name of the parameter whose tensor this one shares; `value` is then the same too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tied_to: Option<String>,
    /// What it holds, when it is a vector that numbers indices of a dimension (`index_select`): a cut numbers those that
    /// remain anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numbers: Option<Vec<i64>>,
}

/// One argument of an ATen call, by the name in the operator's schema.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Argument {
    /// The name in the schema.
    pub name: String,
    /// The schema allows it by keyword only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keyword: bool,
    /// What it is given.
    pub value: Literal,
}

impl Argument {
    /// An argument that may be given by place.
    pub fn positional(name: &str, value: Literal) -> Self {
        Self { name: name.to_owned(), keyword: false, value }
    }
}

/// The value of an argument.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Literal {
    /// `Tensor`: a value of the graph.
    Tensor(ValueId),
    /// `Tensor[]` and `Tensor?[]`.
    Tensors(Vec<Option<ValueId>>),
    /// `None` of an optional argument.
    None,
    /// `bool`.
    Bool(bool),
    /// `int`, which may grow with the batch.
    Int(Size),
    /// On the wire a number, or `"inf"`, `"-inf"`, `"nan"`, which JSON has no numbers for.
    Float(#[serde(with = "wire_float")] f64),
    /// `str`.
    Str(String),
    /// `int[]`, of which some may grow with the batch.
    Ints(Vec<Size>),
    /// `float[]`, on the wire as [`Literal::Float`] is.
    Floats(#[serde(with = "wire_floats")] Vec<f64>),
    /// `bool[]`.
    Bools(Vec<bool>),
    /// A `device` argument; on every run it is replaced by the run's own device.
    Device(String),
}

mod wire_float {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    pub(super) enum Wire {
        Number(f64),
        Name(String),
    }

    impl Wire {
        pub(super) fn new(value: f64) -> Self {
            if value.is_finite() { Self::Number(value) } else { Self::Name(value.to_string().to_lowercase()) }
        }

        pub(super) fn value(self) -> Option<f64> {
            match self {
                Self::Number(value) => Some(value),
                Self::Name(name) => match name.as_str() {
                    "inf" => Some(f64::INFINITY),
                    "-inf" => Some(f64::NEG_INFINITY),
                    "nan" => Some(f64::NAN),
                    _ => None,
                },
            }
        }
    }

    pub(super) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        Wire::new(*value).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        Wire::deserialize(deserializer)?
            .value()
            .ok_or_else(|| D::Error::custom("neither a number nor inf, -inf or nan"))
    }
}

mod wire_floats {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use super::wire_float::Wire;

    pub(super) fn serialize<S: Serializer>(values: &[f64], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(values.iter().map(|&value| Wire::new(value)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
        let values = Vec::<Wire>::deserialize(deserializer)?;
        let values: Option<Vec<f64>> = values.into_iter().map(Wire::value).collect();
        values.ok_or_else(|| D::Error::custom("neither a number nor inf, -inf or nan"))
    }
}

/// One ATen call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Unique; the dotted path of the module that owns the weights it reads, or operator and number (`relu_3`).
    pub name: String,
    /// Qualified name, `aten::conv2d`.
    pub op: String,
    /// Overload of the schema, often empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub overload: String,
    /// Every argument of the schema, in its order.
    pub args: Vec<Argument>,
    /// The values that it produces.
    pub outputs: Vec<ValueId>,
    /// The schema returns one `Tensor[]` whose elements the outputs are.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub list: bool,
}

impl Node {
    /// The tensors it reads, in argument order.
    pub fn inputs(&self) -> Vec<ValueId> {
        let mut inputs = Vec::new();
        for arg in &self.args {
            match &arg.value {
                Literal::Tensor(value) => inputs.push(*value),
                Literal::Tensors(values) => inputs.extend(values.iter().flatten()),
                _ => {}
            }
        }
        inputs
    }

    /// The argument of this name, when the schema has one.
    pub fn arg(&self, name: &str) -> Option<&Literal> {
        self.args.iter().find(|arg| arg.name == name).map(|arg| &arg.value)
    }

    /// The argument of this name, when it is a tensor.
    pub fn tensor(&self, name: &str) -> Option<ValueId> {
        match self.arg(name) {
            Some(Literal::Tensor(value)) => Some(*value),
            _ => None,
        }
    }

    /// The argument of this name, when it is an integer that does not depend on the batch.
    pub fn int(&self, name: &str) -> Option<i64> {
        match self.arg(name) {
            Some(Literal::Int(size)) => size.as_fixed(),
            _ => None,
        }
    }

    /// The argument of this name, when it is a truth value.
    pub fn bool(&self, name: &str) -> Option<bool> {
        match self.arg(name) {
            Some(Literal::Bool(value)) => Some(*value),
            _ => None,
        }
    }

    /// The argument of this name, when it is a list of integers.
    pub fn ints(&self, name: &str) -> Option<&[Size]> {
        match self.arg(name) {
            Some(Literal::Ints(sizes)) => Some(sizes),
            _ => None,
        }
    }

    /// Sets an argument that the schema has.
    ///
    /// # Panics
    /// When there is no argument of that name.
    pub fn set(&mut self, name: &str, value: Literal) {
        let arg = self.args.iter_mut().find(|arg| arg.name == name).expect("the caller read this argument before");
        arg.value = value;
    }
}

/// The structure that the model returns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// One tensor.
    Tensor(ValueId),
    /// A tuple.
    Tuple(Vec<Output>),
    /// A list.
    List(Vec<Output>),
    /// A dictionary with text for keys, in its order.
    Dict(Vec<(String, Output)>),
    /// An auxiliary head that only training has.
    None,
}

impl Output {
    /// The tensors in reading order.
    pub fn tensors(&self) -> Vec<ValueId> {
        match self {
            Self::Tensor(value) => vec![*value],
            Self::Tuple(parts) | Self::List(parts) => parts.iter().flat_map(Self::tensors).collect(),
            Self::Dict(entries) => entries.iter().flat_map(|(_, part)| part.tensors()).collect(),
            Self::None => Vec::new(),
        }
    }
}

/// The wire form of a graph.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GraphFile {
    /// [`FORMAT`].
    pub format: u32,
    /// Every tensor, by [`ValueId`].
    pub values: Vec<Value>,
    /// The model's inputs in calling order.
    pub inputs: Vec<ValueId>,
    /// What `forward` calls them; empty where that is not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub input_names: Vec<String>,
    /// In `state_dict` order, constants last.
    pub parameters: Vec<Parameter>,
    /// In program order.
    pub nodes: Vec<Node>,
    /// What the model returns.
    pub output: Output,
    /// Branches and loops of the program that hang on the size of the input, each by module and line: the graph is true
    /// for inputs of the recorded size.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub specialisations: Vec<String>,
    /// What the program keeps in its attributes from one call to the next: the tensors that it found there and those that it left.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub state: Vec<ValueId>,
    /// Methods beside `forward` that were recorded too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<Method>,
    /// Sizes of the inputs, besides the batch, that the program leaves open.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub free_sizes: Vec<FreeSize>,
    /// What those inputs of the program were given that take a number; they are none of `inputs`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub numbers: Vec<GivenNumber>,
}

/// What an input of the program was given that takes a number and no tensor.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct GivenNumber {
    /// Which of the program's inputs, from zero.
    pub input: usize,
    /// The number; 0 and 1 are the truth values.
    pub value: f64,
}

/// A method beside `forward` that a user may call, such as `encode`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Method {
    /// Its name.
    pub name: String,
    /// What it was given.
    pub arguments: Vec<MethodArgument>,
    /// The channels that it returns, or that it uses in a way which needs all of them.
    pub held: Vec<HeldChannels>,
}

/// What a method was given when it was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MethodArgument {
    /// An input of `forward`, by its number.
    Input(usize),
    /// A tensor that another method returned.
    Returned {
        /// That method.
        method: String,
        /// Which of its tensors, in reading order.
        tensor: usize,
    },
}

/// Indices of a dimension of a parameter that stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldChannels {
    /// The parameter's name.
    pub parameter: String,
    /// The dimension.
    pub axis: usize,
    /// The indices, ascending.
    pub indices: Vec<u32>,
}

/// A size of the inputs that the program computes with instead of expecting one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FreeSize {
    /// The dimensions that have this size; they vary together.
    pub dimensions: Vec<InputDimension>,
    /// The size that the model was imported with.
    pub size: i64,
    /// What has to be added to it or taken from it; a power of two.
    pub step: i64,
    /// Whether larger sizes run too; else only smaller ones do.
    pub may_grow: bool,
}

/// A dimension of an input of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InputDimension {
    /// The input, from zero.
    pub input: usize,
    /// The dimension of one sample, from zero.
    pub dimension: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_of_minus_infinity_survives_the_wire() {
        for literal in
            [Literal::Float(f64::NEG_INFINITY), Literal::Float(1e-5), Literal::Floats(vec![f64::INFINITY, 2.0])]
        {
            let json = serde_json::to_string(&literal).unwrap();
            assert_eq!(serde_json::from_str::<Literal>(&json).unwrap(), literal, "{json}");
        }
        assert_eq!(serde_json::to_string(&Literal::Float(f64::NEG_INFINITY)).unwrap(), r#"{"float":"-inf"}"#);
    }
}

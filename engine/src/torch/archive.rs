//! A user's archive, loaded and held against the list of operators, and the tensors that it is evaluated with.
//!
//! Whoever evaluates one limits the tensors that are alive meanwhile ([`TensorLimit`]); the program itself has a budget (`cpp/budget.h`).

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use cxx::UniquePtr;
use secateur_core::graph::{DType, GivenNumber, Graph, GraphError};
use secateur_core::rejection::{Code, Rejection};
use secateur_core::spec::InputSpec;
use serde::Deserialize;
use serde_json::Number;
use tch::{Device, Kind, Tensor};

use super::bridge::{Guide, Reviewer, all_borrowed, all_owned, ffi};
use super::dtype::kind_of;
use super::memory;
use super::message::is_out_of_memory;
use super::recording::{Batches, Recording};
use super::{TorchError, brief};
use crate::guard::Layer;

pub(super) const BATCHES: Batches = Batches(2, 3);
const SEED: i64 = 0;
/// Bytes of tensors that may be alive beside what the file holds.
const TENSOR_BYTES: u64 = 8 << 30;
/// Elements of one sample of an input, and of an output.
pub(super) const MOST_ELEMENTS: i64 = 1 << 28;

/// While it lives, no more than [`TENSOR_BYTES`] of tensors are alive beside what the file holds.
pub(super) struct TensorLimit;

impl TensorLimit {
    pub(super) fn begin(path: &Path) -> Self {
        let file = std::fs::metadata(path).map_or(0, |file| file.len());
        ffi::limit_tensor_memory(TENSOR_BYTES + file);
        Self
    }

    /// What the user is told of an error: everything in an import follows from the file.
    pub(super) fn explain(error: TorchError) -> TorchError {
        let message = match error {
            TorchError::Rejected(rejection) => return rejection.into(),
            TorchError::Libtorch(message) => message,
            TorchError::Tch(error) => error.to_string(),
            TorchError::Graph(error) => return not_a_graph(&error).into(),
        };
        if let Err(refused) = ffi::check_tensor_memory() {
            return refused.into();
        }
        let said = brief(&message);
        if said != message {
            eprintln!("the whole message: {}", message.chars().take(8000).collect::<String>());
        }
        let rejection = if is_out_of_memory(&message) {
            Rejection::new(Code::OutOfMemory, format!("Importing the model needs more memory than there is: {said}"))
                .hint("Give a smaller `input_shape`, or run the job on a worker with more memory.")
        } else {
            Rejection::new(Code::UnsupportedModel, format!("libtorch fails where the model is imported: {said}"))
                .hint("Check that the model runs in PyTorch, loaded from this file.")
        };
        rejection.into()
    }
}

fn not_a_graph(error: &GraphError) -> Rejection {
    Rejection::new(Code::UnsupportedModel, format!("What the model does cannot be written as a graph: {error}."))
}

impl Drop for TensorLimit {
    fn drop(&mut self) {
        ffi::limit_tensor_memory(0);
    }
}

/// The inputs that a graph was recorded with.
pub(super) fn inputs_of(graph: &Graph) -> Vec<Input> {
    let inputs = graph.inputs().iter().map(|&input| {
        let value = graph.value(input);
        Input { shape: value.shape[1..].iter().map(|size| size.fixed).collect(), dtype: value.dtype, max: value.max }
    });
    inputs.collect()
}

/// An input of the model, one sample of it.
pub(super) struct Input {
    pub shape: Vec<i64>,
    pub dtype: DType,
    /// The largest number of an integer input.
    pub max: Option<i64>,
}

impl Input {
    /// Standard normal numbers, or integers from 0 to `max`.
    fn sample(&self, batch: i64) -> Result<Tensor, TorchError> {
        let shape: Vec<i64> = std::iter::once(batch).chain(self.shape.iter().copied()).collect();
        let elements = self.shape.iter().try_fold(1_i64, |product, &size| product.checked_mul(size));
        if elements.is_none_or(|elements| elements > MOST_ELEMENTS) {
            return Err(Rejection::new(
                Code::InputShape,
                format!("One sample of the shape {:?} has more than {MOST_ELEMENTS} elements.", self.shape),
            )
            .into());
        }
        if self.dtype == DType::Float32 {
            return Ok(Tensor::f_randn(&shape, (Kind::Float, Device::Cpu))?);
        }
        let kind = kind_of(self.dtype);
        Ok(Tensor::f_randint(self.max.unwrap_or(0) + 1, &shape, (Kind::Int64, Device::Cpu))?.f_to_kind(kind)?)
    }
}

pub(super) fn samples(inputs: &[Input], batch: i64) -> Result<Vec<Tensor>, TorchError> {
    tch::manual_seed(SEED);
    inputs.iter().map(|input| input.sample(batch)).collect()
}

/// What `forward` takes, as the C++ side describes it.
#[derive(Deserialize)]
struct Signature {
    /// Inputs without a default.
    required: usize,
    total: usize,
    /// The names of all arguments, those included that are no inputs.
    names: Vec<String>,
    /// Inputs that take a number and no tensor.
    numbers: Vec<usize>,
    traced: Vec<TracedInput>,
}

/// What a program offers besides the tensors that `forward` takes and gives.
#[derive(Debug, Deserialize)]
pub(super) struct Interface {
    /// Methods other than `forward`.
    pub methods: Vec<String>,
    /// Attributes of the root that are no tensors and no modules.
    pub attributes: Vec<String>,
    /// How many inputs have no default; they come first.
    pub required: usize,
    /// Inputs that have a default.
    pub optional: Vec<String>,
    /// The type that `forward` returns, when its fields have names.
    pub named_tuple: String,
}

#[derive(Deserialize)]
struct TracedInput {
    shape: Vec<i64>,
    dtype: DType,
}

/// A method beside `forward`.
#[derive(Debug, Deserialize)]
pub(super) struct DeclaredMethod {
    pub name: String,
    /// Tensors that it needs; `None` when it needs something else.
    pub tensors: Option<usize>,
}

/// A user's archive, loaded and held against the operator list.
pub(super) struct Archive {
    raw: UniquePtr<ffi::Archive>,
    signature: Signature,
}

impl Archive {
    pub(super) fn load(path: &Path) -> Result<Self, TorchError> {
        let raw = ffi::load_archive(path.as_os_str().as_bytes(), Layer::Operators.is_on())?;
        let signature = from_json(&raw.inputs())?;
        Ok(Self { raw, signature })
    }

    /// The archive that the graph was recorded of, which is given the same numbers.
    pub(super) fn load_again(path: &Path, graph: &Graph) -> Result<Self, TorchError> {
        let mut archive = Self::load(path)?;
        archive.give(&graph.file().numbers);
        Ok(archive)
    }

    /// What the inputs are given that take numbers.
    pub(super) fn give(&mut self, numbers: &[GivenNumber]) {
        self.raw.pin_mut().give(&given(numbers));
    }

    /// The names of those arguments that are given tensors, when so many are and these numbers.
    pub(super) fn names(&self, inputs: usize, numbers: &[GivenNumber]) -> Vec<String> {
        let is_number = |&(index, _): &(usize, &String)| numbers.iter().any(|number| number.input == index);
        let tensors = self.signature.names.iter().enumerate().filter(|argument| !is_number(argument));
        tensors.take(inputs).map(|(_, name)| name.clone()).collect()
    }

    /// The inputs to evaluate with, of the given shapes or as they were traced, and what the others are given, which take numbers.
    pub(super) fn inputs(&self, specs: Option<&[InputSpec]>) -> Result<(Vec<Input>, Vec<GivenNumber>), Rejection> {
        let Signature { required, total, names, numbers: takes_number, traced } = &self.signature;
        let Some(specs) = specs else {
            return Ok((self.traced_inputs()?, Vec::new()));
        };
        let specs = in_order_of_arguments(specs, &names[..*total])?;
        if specs.len() < *required || specs.len() > *total {
            let takes = if required == total { required.to_string() } else { format!("{required} to {total}") };
            return Err(Rejection::new(
                Code::InputCount,
                format!("The model takes {takes} inputs, {} input shapes were given.", specs.len()),
            )
            .hint("Give `input_shape` as a list of one shape for each input, without the batch."));
        }
        let (mut inputs, mut numbers) = (Vec::new(), Vec::new());
        for (index, InputSpec { shape, dtype, max, value, .. }) in specs.into_iter().enumerate() {
            match (value.as_ref().and_then(Number::as_f64), takes_number.contains(&index)) {
                (Some(value), true) => numbers.push(GivenNumber { input: index, value }),
                (None, true) => return Err(number_is_missing(index)),
                (Some(value), false) => {
                    let detail = format!("Input {index} of the model takes a tensor; the number {value} was given.");
                    return Err(Rejection::new(Code::InputShape, detail).hint("Give the `shape` of one sample of it."));
                }
                (None, false) => {
                    let traced = traced.get(index).map_or(DType::Float32, |input| input.dtype);
                    inputs.push(Input { shape: shape.clone(), dtype: dtype.unwrap_or(traced), max: *max });
                }
            }
        }
        Ok((inputs, numbers))
    }

    fn traced_inputs(&self) -> Result<Vec<Input>, Rejection> {
        let Signature { required, total, numbers, traced, .. } = &self.signature;
        if let Some(&number) = numbers.iter().find(|&&number| number < *required) {
            return Err(number_is_missing(number));
        }
        if traced.len() < *required || traced.len() > *total || traced.iter().any(|input| input.shape.is_empty()) {
            return Err(Rejection::new(
                Code::InputShape,
                "The shape of the model's input is not known: the archive does not record it.",
            )
            .hint("Set `input_shape` to the shape of one sample without the batch, such as [3, 32, 32]."));
        }
        let inputs = traced.iter();
        Ok(inputs.map(|input| Input { shape: input.shape[1..].to_vec(), dtype: input.dtype, max: None }).collect())
    }

    pub(super) fn record(&self, inputs: &[Input], batch: i64) -> Result<(Recording, Vec<Tensor>), TorchError> {
        self.record_method("forward", &samples(inputs, batch)?)
    }

    pub(super) fn record_method(&self, name: &str, samples: &[Tensor]) -> Result<(Recording, Vec<Tensor>), TorchError> {
        let given = all_borrowed(samples);
        // A program that fails on zeros may run on what it would compute; where it fails as well, that is the better message.
        let recorded = self.raw.record(name, &given, true).or_else(|_| self.raw.record(name, &given, false))?;
        memory::return_small_blocks();
        Ok((from_json(&recorded.json)?, all_owned(recorded.weights)))
    }

    /// The methods beside `forward`.
    pub(super) fn methods(&self) -> Result<Vec<DeclaredMethod>, TorchError> {
        from_json(&self.raw.methods()?)
    }

    /// What a user of the model meets besides the tensors of `forward`.
    pub(super) fn interface(&self) -> Result<Interface, TorchError> {
        from_json(&self.raw.interface()?)
    }

    /// Evaluates with the arguments that the reviewer wants, which learns where the program says others.
    pub(super) fn follow(&self, inputs: &[Input], batch: i64, reviewer: &mut dyn Reviewer) -> Result<(), TorchError> {
        let samples = samples(inputs, batch)?;
        Ok(self.raw.record_guided(&all_borrowed(&samples), &mut Guide(reviewer))?)
    }

    /// The batch that `torch.jit.trace` recorded.
    pub(super) fn traced_batch(&self) -> Option<i64> {
        self.signature.traced.first().and_then(|input| input.shape.first().copied())
    }

    /// `forward` as libtorch runs it.
    pub(super) fn forward(mut self, samples: &[Tensor]) -> Result<Vec<Tensor>, TorchError> {
        let outputs = all_owned(self.raw.pin_mut().forward(&all_borrowed(samples))?);
        memory::return_small_blocks();
        Ok(outputs)
    }
}

/// Inputs that name their arguments, in the order in which `forward` takes them; any others as they are.
fn in_order_of_arguments<'a>(specs: &'a [InputSpec], names: &[String]) -> Result<Vec<&'a InputSpec>, Rejection> {
    let Some(first) = specs.iter().find_map(|spec| spec.name.as_ref()) else { return Ok(specs.iter().collect()) };
    let refused = |what: String| {
        Rejection::new(Code::InputCount, what).at(first).hint(
            "Name all inputs that are given after arguments of `forward`, or none of them and give them in order.",
        )
    };
    let mut ordered: Vec<Option<&InputSpec>> = vec![None; names.len()];
    for spec in specs {
        let name = spec.name.as_deref().unwrap_or_default();
        let place = names.iter().position(|argument| argument == name);
        let place = place.ok_or_else(|| {
            let takes = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            refused(format!("There is an input named `{name}`, but the arguments of `forward` are {takes}."))
        })?;
        if ordered[place].replace(spec).is_some() {
            return Err(refused(format!("There are two inputs named `{name}`.")));
        }
    }
    match ordered[..specs.len()].iter().position(Option::is_none) {
        Some(missing) => Err(refused(format!("The input `{}` is missing, and a later one is given.", names[missing]))),
        None => Ok(ordered.into_iter().flatten().collect()),
    }
}

fn number_is_missing(input: usize) -> Rejection {
    Rejection::new(
        Code::InputShape,
        format!("Input {input} of the model takes a number and no tensor, and none is given."),
    )
    .hint("Give `inputs` with its number in its place, such as [{\"shape\": [512]}, {\"value\": 16000}].")
}

/// The same for C++.
pub(super) fn given(numbers: &[GivenNumber]) -> Vec<ffi::GivenNumber> {
    numbers.iter().map(|number| ffi::GivenNumber { input: number.input, value: number.value }).collect()
}

fn from_json<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, TorchError> {
    serde_json::from_str(json).map_err(|error| TorchError::Libtorch(format!("the importer wrote broken JSON: {error}")))
}

//! From a user's TorchScript archive to a graph with its tensors.
//!
//! The archive is loaded on the CPU, switched to evaluation, and every operator in its code is held against the
//! allow-list; then `forward` is evaluated at two batch sizes (see `cpp/evaluator.h`) and one graph is fitted to both records
//! ([`super::recording`]). Last, the graph is run beside `Module::forward` at a third batch size, which libtorch's own
//! interpreter runs: it is a reference that has nothing in common with the evaluator.
//!
//! Both run a stranger's program, so both have a budget (`cpp/budget.h`), and all tensors that are alive have a limit
//! ([`TensorLimit`]). All that can fail here follows from the file and the shapes, so it is a rejection and never tried again.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use cxx::UniquePtr;
use secateur_core::graph::{DType, Graph, GraphError, GraphFile, Node};
use secateur_core::operator::places_numbered_by;
use secateur_core::rejection::{Code, Rejection};
use secateur_core::spec::InputSpec;
use serde::Deserialize;
use tch::{Device, Kind, Tensor};

use super::bridge::{Guide, Reviewer, all_borrowed, all_owned, ffi};
use super::finite::{check_outputs, check_parameters};
use super::message::is_out_of_memory;
use super::recording::{Batches, Fitted, Recording, batch_is_fixed, depends_on_batch, fit};
use super::{Mode, Program, TorchError, brief};
use crate::guard::Layer;

pub(super) const BATCHES: Batches = Batches(2, 3);
const COMPARED_BATCH: i64 = 4;
const SEED: i64 = 0;
/// Far above any rounding: the graph computes with the very kernels of `Module::forward`.
const LARGEST_DIFFERENCE: f64 = 1e-3;
/// Bytes of tensors that may be alive beside what the file holds.
const TENSOR_BYTES: u64 = 8 << 30;
/// Elements of one sample of an input, and of an output.
const MOST_ELEMENTS: i64 = 1 << 28;

/// An imported model.
#[derive(Debug)]
pub struct Imported {
    pub graph: Graph,
    /// One tensor for each of [`Graph::parameters`], in that order, on the CPU.
    pub weights: Vec<Tensor>,
    /// Shapes of one sample of each input.
    pub input_shapes: Vec<Vec<i64>>,
    /// Largest absolute difference between the graph's outputs and `Module::forward`'s.
    pub max_abs_diff: f64,
}

/// Imports an archive that passed the pre-flight. `input_shapes` are those of one sample of each input; without them, the
/// ones that `torch.jit.trace` recorded are used.
///
/// # Errors
/// A rejection when the model or the shapes are at fault.
pub fn import(path: &Path, input_shapes: Option<&[Vec<i64>]>) -> Result<Imported, TorchError> {
    let inputs: Option<Vec<InputSpec>> =
        input_shapes.map(|shapes| shapes.iter().cloned().map(InputSpec::from).collect());
    import_with(path, inputs.as_deref())
}

/// Imports an archive, as [`import`] does, by all that is known of its inputs.
///
/// # Errors
/// As [`import`].
pub fn import_with(path: &Path, inputs: Option<&[InputSpec]>) -> Result<Imported, TorchError> {
    let _blocks = LargeBlocksApart::begin();
    // Alive while the error is explained: what was refused is asked of it.
    let _limit = TensorLimit::begin(path);
    import_within_limits(path, inputs).map_err(TensorLimit::explain)
}

fn import_within_limits(path: &Path, specs: Option<&[InputSpec]>) -> Result<Imported, TorchError> {
    let archive = Archive::load(path)?;
    let mut inputs = archive.inputs(specs)?;
    let record = |batch| archive.record(&inputs, batch).map_err(|error| archive.explain(error, &inputs));
    let (first, first_weights) = record(BATCHES.0)?;
    let (second, second_weights) = record(BATCHES.1)?;
    let Fitted { mut file, kept, .. } = fit(&first, &second, BATCHES)?;
    let mut weights = Vec::with_capacity(kept.len());
    for &index in &kept {
        let (one, other) = (&first_weights[index], &second_weights[index]);
        // Weights are the same tensors in both records; what the code computes as a constant may not be.
        if one.data_ptr() != other.data_ptr() && !one.f_equal(other)? {
            return Err(depends_on_batch(&format!("a constant of the shape {:?}", one.size()), None).into());
        }
        weights.push(one.shallow_clone());
    }
    read_numbers(&mut file, &weights)?;
    bound_integers(&mut file, &mut inputs);
    let graph = Graph::new(file)?;
    check_names(&graph)?;
    check_parameters(&graph, &weights)?;
    let max_abs_diff = archive.compare(&graph, &weights, &inputs)?;
    let input_shapes = inputs.into_iter().map(|input| input.shape).collect();
    Ok(Imported { graph, weights, input_shapes, max_abs_diff })
}

/// While it lives, no more than [`TENSOR_BYTES`] of tensors are alive beside what the file holds.
pub(super) struct TensorLimit;

impl TensorLimit {
    pub(super) fn begin(path: &Path) -> Self {
        let file = std::fs::metadata(path).map_or(0, |file| file.len());
        ffi::limit_tensor_memory(TENSOR_BYTES + file);
        Self
    }

    /// What the user is told of an error: everything in an import follows from the file.
    fn explain(error: TorchError) -> TorchError {
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

impl Drop for TensorLimit {
    fn drop(&mut self) {
        ffi::limit_tensor_memory(0);
    }
}

/// The files between stages have one name of their own.
fn check_names(graph: &Graph) -> Result<(), Rejection> {
    const RESERVED: &str = "__metadata__";
    match graph.parameters().iter().find(|parameter| parameter.name == RESERVED) {
        Some(_) => {
            let detail =
                format!("A tensor of the model is named `{RESERVED}`, which weight files keep for themselves.");
            Err(Rejection::new(Code::UnsupportedModel, detail).at(RESERVED).hint("Rename the attribute."))
        }
        None => Ok(()),
    }
}

fn not_a_graph(error: &GraphError) -> Rejection {
    Rejection::new(Code::UnsupportedModel, format!("What the model does cannot be written as a graph: {error}."))
}

/// While it lives, every large tensor has pages of its own, which go back to the system with it.
///
/// On the heap the activations of one evaluation leave holes that those of the next, of another batch size, do not fit into, and
/// an import takes up to twice the memory. Pages of their own take time, so training does without.
struct LargeBlocksApart;

impl LargeBlocksApart {
    fn begin() -> Self {
        set_thresholds(1 << 20, 1 << 20);
        Self
    }
}

impl Drop for LargeBlocksApart {
    fn drop(&mut self) {
        // What glibc arrives at by itself when large blocks come and go.
        set_thresholds(32 << 20, 64 << 20);
    }
}

/// Bytes from which on a block has pages of its own, and bytes that are kept free at the end of the heap.
#[cfg(target_env = "gnu")]
fn set_thresholds(own_pages: i32, kept_free: i32) {
    // SAFETY: takes values only.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, own_pages);
        libc::mallopt(libc::M_TRIM_THRESHOLD, kept_free);
    }
}

/// Gives back the pages of the heap that nothing is left on.
#[cfg(target_env = "gnu")]
fn return_small_blocks() {
    // SAFETY: takes no pointer and may be called at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(not(target_env = "gnu"))]
fn set_thresholds(_own_pages: i32, _kept_free: i32) {}

#[cfg(not(target_env = "gnu"))]
fn return_small_blocks() {}

/// Writes into the graph what the vectors hold by which indices of activations are chosen, so that a cut can number them anew.
fn read_numbers(file: &mut GraphFile, weights: &[Tensor]) -> Result<(), TorchError> {
    let graph = Graph::new(file.clone())?;
    for (parameter, weight) in file.parameters.iter_mut().zip(weights) {
        let is_vector_of_integers = weight.dim() == 1 && matches!(weight.kind(), Kind::Int64 | Kind::Int);
        if is_vector_of_integers && parameter.tied_to.is_none() && !places_numbered_by(&graph, parameter).is_empty() {
            parameter.numbers = Some(Vec::<i64>::try_from(&weight.f_to_kind(Kind::Int64)?)?);
        }
    }
    Ok(())
}

/// An integer input that an embedding reads as it is holds numbers of its rows.
fn bound_integers(file: &mut GraphFile, inputs: &mut [Input]) {
    for (input, &value) in inputs.iter_mut().zip(&file.inputs) {
        let reads = |node: &&Node| EMBEDDINGS.contains(&node.op.as_str()) && node.tensor("indices") == Some(value);
        let rows = file.nodes.iter().filter(reads).filter_map(|node| {
            let weight = node.tensor("weight")?;
            file.values[weight.index()].shape.first()?.as_fixed()
        });
        input.max = input.max.or(rows.min().map(|rows| rows - 1));
    }
    let numbers: Vec<_> = file.inputs.iter().zip(&*inputs).map(|(value, input)| (value.index(), input.max)).collect();
    for (value, max) in numbers {
        file.values[value].max = max;
    }
}

const EMBEDDINGS: [&str; 2] = ["aten::embedding", "aten::embedding_bag"];

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
        let kind = match self.dtype {
            DType::Float32 => return Ok(Tensor::f_randn(&shape, (Kind::Float, Device::Cpu))?),
            DType::Float64 => Kind::Double,
            DType::Float16 => Kind::Half,
            DType::Bfloat16 => Kind::BFloat16,
            DType::Int64 => Kind::Int64,
            DType::Int32 => Kind::Int,
            DType::Int16 => Kind::Int16,
            DType::Int8 => Kind::Int8,
            DType::Uint8 => Kind::Uint8,
            DType::Bool => Kind::Bool,
        };
        Ok(Tensor::f_randint(self.max.unwrap_or(0) + 1, &shape, (Kind::Int64, Device::Cpu))?.f_to_kind(kind)?)
    }
}

fn samples(inputs: &[Input], batch: i64) -> Result<Vec<Tensor>, TorchError> {
    tch::manual_seed(SEED);
    inputs.iter().map(|input| input.sample(batch)).collect()
}

/// What `forward` takes, as the C++ side describes it.
#[derive(Deserialize)]
struct Signature {
    /// Inputs without a default.
    required: usize,
    total: usize,
    traced: Vec<TracedInput>,
}

/// What a program offers besides the tensors that `forward` takes and gives.
#[derive(Debug, Deserialize)]
pub(super) struct Interface {
    /// Methods other than `forward`.
    pub methods: Vec<String>,
    /// Attributes of the root that are no tensors and no modules.
    pub attributes: Vec<String>,
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

    /// The inputs to evaluate with: of the given shapes, or as they were traced.
    fn inputs(&self, specs: Option<&[InputSpec]>) -> Result<Vec<Input>, Rejection> {
        let Signature { required, total, traced } = &self.signature;
        let Some(shapes) = specs else {
            return self.traced_inputs();
        };
        if shapes.len() < *required || shapes.len() > *total {
            let takes = if required == total { required.to_string() } else { format!("{required} to {total}") };
            return Err(Rejection::new(
                Code::InputCount,
                format!("The model takes {takes} inputs, {} input shapes were given.", shapes.len()),
            )
            .hint("Give `input_shape` as a list of one shape for each input, without the batch."));
        }
        let inputs = shapes.iter().enumerate().map(|(index, InputSpec { shape, dtype, max })| {
            let traced = traced.get(index).map_or(DType::Float32, |input| input.dtype);
            Input { shape: shape.clone(), dtype: dtype.unwrap_or(traced), max: *max }
        });
        Ok(inputs.collect())
    }

    fn traced_inputs(&self) -> Result<Vec<Input>, Rejection> {
        let Signature { required, total, traced } = &self.signature;
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
        let samples = samples(inputs, batch)?;
        let recorded = self.raw.record(&all_borrowed(&samples))?;
        return_small_blocks();
        Ok((from_json(&recorded.json)?, all_owned(recorded.weights)))
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

    /// An operator that fails on the sample may fail because of its shape, or because another batch size is written into
    /// the model: then it works at the traced one, or at 1.
    fn explain(&self, error: TorchError, inputs: &[Input]) -> TorchError {
        let TorchError::Rejected(rejection) = error else { return error };
        if rejection.code != Code::InputShape {
            return rejection.into();
        }
        let traced = self.signature.traced.first().and_then(|input| input.shape.first().copied());
        let works_at = [traced, Some(1)].into_iter().flatten().find(|&batch| self.record(inputs, batch).is_ok());
        if let Some(batch) = works_at {
            let mut fixed =
                batch_is_fixed(&format!("it runs at batch {batch} but not at others ({})", rejection.detail));
            fixed.node = rejection.node;
            return fixed.into();
        }
        let shapes: Vec<String> = inputs.iter().map(|input| format!("{:?}", input.shape)).collect();
        let detail = format!("The model fails on an input of shape {}: {}", shapes.join(" and "), rejection.detail);
        Rejection {
            detail,
            hint: Some("set `input_shape` to the shape of one sample without the batch".into()),
            ..rejection
        }
        .into()
    }

    /// Largest absolute difference between the graph and `Module::forward`; the archive is not what it was after it.
    fn compare(mut self, graph: &Graph, weights: &[Tensor], inputs: &[Input]) -> Result<f64, TorchError> {
        let _no_grad = tch::no_grad_guard();
        let samples = samples(inputs, COMPARED_BATCH)?;
        let expected = all_owned(self.raw.pin_mut().forward(&all_borrowed(&samples))?);
        return_small_blocks();
        if let Some(large) = expected.iter().find(|output| output.numel() as i64 > MOST_ELEMENTS) {
            let detail = format!("An output of the shape {:?} has more than {MOST_ELEMENTS} elements.", large.size());
            return Err(Rejection::new(Code::UnsupportedModel, detail).into());
        }
        let actual = Program::prepare(graph)?.run(weights, &samples, Mode::Evaluate)?;
        if expected.len() != actual.len() {
            return Err(differs(format!("it returns {} tensors instead of {}", actual.len(), expected.len())).into());
        }
        check_outputs(&expected, graph, weights)?;
        let mut largest: f64 = 0.0;
        for (expected, actual) in expected.iter().zip(&actual) {
            if expected.size() != actual.size() {
                let (expected, actual) = (expected.size(), actual.size());
                return Err(differs(format!("an output has the shape {actual:?} instead of {expected:?}")).into());
            }
            if expected.f_kind()? != actual.f_kind()? {
                let (expected, actual) = (expected.f_kind()?, actual.f_kind()?);
                return Err(differs(format!("an output has the dtype {actual:?} instead of {expected:?}")).into());
            }
            if expected.numel() == 0 {
                continue;
            }
            let (expected, actual) = (expected.f_to_kind(Kind::Double)?, actual.f_to_kind(Kind::Double)?);
            // NaN where the graph's output is not finite, since the original's is.
            let difference = actual.f_sub(&expected)?.f_abs()?.f_max()?.f_double_value(&[])?;
            if !difference.is_finite()
                || difference > LARGEST_DIFFERENCE * expected.f_abs()?.f_max()?.f_double_value(&[])?.max(1.0)
            {
                return Err(differs(format!("an output differs by {difference:e}")).into());
            }
            largest = largest.max(difference);
        }
        Ok(largest)
    }
}

fn differs(how: String) -> Rejection {
    Rejection::new(
        Code::UnsupportedModel,
        format!("The imported graph does not compute what the model does at batch {COMPARED_BATCH}: {how}."),
    )
    .hint("Remove from the model what depends on the batch size, or on state outside its weights.")
}

fn from_json<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, TorchError> {
    serde_json::from_str(json).map_err(|error| TorchError::Libtorch(format!("the importer wrote broken JSON: {error}")))
}

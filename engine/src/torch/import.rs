//! From a user's TorchScript archive to a graph with its tensors.
//!
//! The archive is loaded on the CPU, switched to evaluation, and every operator in its code is held against the
//! allow-list; then `forward` is evaluated at two batch sizes (see `cpp/evaluator.h`) and one graph is fitted to both records
//! ([`super::recording`]). Last, the graph is run beside `Module::forward` at a third batch size, which libtorch's own
//! interpreter runs: it is a reference that has nothing in common with the evaluator.
//!
//! Both run a stranger's program, so both have a budget (`cpp/budget.h`), and all tensors that are alive have a limit
//! ([`TensorLimit`]). All that can fail here follows from the file and the shapes, so it is a rejection and never tried again.

use std::path::Path;

use secateur_core::graph::{Graph, GraphFile, Node};
use secateur_core::operator::places_numbered_by;
use secateur_core::rejection::{Code, Rejection};
use secateur_core::spec::InputSpec;
use tch::{Kind, Tensor};

use super::archive::{Archive, BATCHES, Input, MOST_ELEMENTS, TensorLimit, samples};
use super::finite::{check_outputs, check_parameters};
use super::memory::LargeBlocksApart;
use super::methods;
use super::recording::{Fitted, batch_is_fixed, depends_on_batch, fit};
use super::sizes::free_sizes;
use super::{Mode, Program, TorchError};

const COMPARED_BATCH: i64 = 4;
/// Far above any rounding: the graph computes with the very kernels of `Module::forward`.
const LARGEST_DIFFERENCE: f64 = 1e-3;

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

impl Imported {
    /// The same with the sizes of `path`, its archive, that are open.
    ///
    /// # Errors
    /// The archive cannot be loaded any more.
    pub fn with_free_sizes(self, path: &Path) -> Result<Self, TorchError> {
        let free_sizes = free_sizes(path, &self.graph)?;
        let graph = Graph::new(GraphFile { free_sizes, ..self.graph.into_file() })?;
        Ok(Self { graph, ..self })
    }
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
    // Alive while the error is explained: what was refused is asked of it.
    let _limit = TensorLimit::begin(path);
    import_within_limits(path, inputs).map_err(TensorLimit::explain)
}

fn import_within_limits(path: &Path, specs: Option<&[InputSpec]>) -> Result<Imported, TorchError> {
    let mut archive = Archive::load(path)?;
    let (mut inputs, numbers) = archive.inputs(specs)?;
    archive.give(&numbers);
    let blocks = LargeBlocksApart::begin();
    let record = |batch| archive.record(&inputs, batch).map_err(|error| explain(&archive, error, &inputs));
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
    file.input_names = archive.names(inputs.len(), &numbers);
    file.numbers = numbers;
    file.methods = methods::record(&archive, &inputs)?;
    let graph = Graph::new(file)?;
    check_names(&graph)?;
    check_parameters(&graph, &weights)?;
    drop(blocks);
    let max_abs_diff = compare(archive, &graph, &weights, &inputs)?;
    let input_shapes = inputs.into_iter().map(|input| input.shape).collect();
    Ok(Imported { graph, weights, input_shapes, max_abs_diff })
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

/// An operator that fails on the sample may fail because of its shape, or because another batch size is written into
/// the model: then it works at the traced one, or at 1.
fn explain(archive: &Archive, error: TorchError, inputs: &[Input]) -> TorchError {
    let TorchError::Rejected(rejection) = error else { return error };
    if rejection.code != Code::InputShape {
        return rejection.into();
    }
    let traced = archive.traced_batch();
    let works_at = [traced, Some(1)].into_iter().flatten().find(|&batch| archive.record(inputs, batch).is_ok());
    if let Some(batch) = works_at {
        let mut fixed = batch_is_fixed(&format!("it runs at batch {batch} but not at others ({})", rejection.detail));
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
fn compare(archive: Archive, graph: &Graph, weights: &[Tensor], inputs: &[Input]) -> Result<f64, TorchError> {
    let _no_grad = tch::no_grad_guard();
    let samples = samples(inputs, COMPARED_BATCH)?;
    let expected = archive.forward(&samples)?;
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

fn differs(how: String) -> Rejection {
    Rejection::new(
        Code::UnsupportedModel,
        format!("The imported graph does not compute what the model does at batch {COMPARED_BATCH}: {how}."),
    )
    .hint("Remove from the model what depends on the batch size, or on state outside its weights.")
}

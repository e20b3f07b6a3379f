//! TorchScript archive to graph and tensors; the only stage that loads the user's file, after the same pre-flight that the
//! server runs at upload: the engine trusts nobody's word for it.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use secateur_core::archive;
use secateur_core::dataset::source::Source;
use secateur_core::dataset::{Dataset, DatasetSummary, InputSummary, Layout};
use secateur_core::graph::{DType, Graph};
use secateur_core::output::{self, Objective, OutputKind};
use secateur_core::recovery::{Accuracy, DataReport};
use secateur_core::rejection::{Code, Rejection};
use secateur_core::spec::InputSpec;
use secateur_core::stage::Stage;
use secateur_core::stage::import::{DATASET_SUMMARY, GRAPH, ImportResult, MODEL, Preparation, WEIGHTS};
use secateur_core::triton;
use sha2::{Digest, Sha256};

use super::task::{Task, Workspace};
use crate::data::{Augment, Data, SplitName};
use crate::error::Error;
use crate::guard;
use crate::measure::evaluate;
use crate::network::{Network, weights};
use crate::process::{deadline, fault, memory};
use crate::torch::{self, Imported};
use crate::training;

/// How long loading a model and running it a few times may take, in a job and in an inspection, which somebody waits for.
const LONGEST_IMPORT: Duration = Duration::from_mins(5);
pub(super) const LONGEST_INSPECTION: Duration = Duration::from_secs(50);

/// Imports the model of a job.
///
/// # Errors
/// The model or the data set is refused.
pub(super) fn run(task: &Task, _work: &()) -> Result<ImportResult, Error> {
    let model = task.path(MODEL);
    let (bytes, sha256) = File::open(&model).and_then(digest).map_err(Error::file(&model))?;
    let dataset = task.files.dataset.as_ref().map(Given::of).transpose()?;
    let inputs = match (task.spec.model_inputs(), &dataset) {
        (None, Some(Given::Arrays(arrays) | Given::Packed(arrays))) => {
            sample_inputs(arrays).into_iter().map(Some).collect()
        }
        // Samples are converted to whatever the archive records; where it records nothing, they can stay as they are.
        (None, Some(Given::Source(source))) => {
            let as_stored = source.sample_shapes().into_iter().map(|shape| {
                let shape: Vec<i64> = shape.into_iter().map(|size| size as i64).collect();
                Some(vec![InputSpec::from(shape)])
            });
            std::iter::once(None).chain(as_stored).collect()
        }
        (told, _) => vec![told],
    };
    let Imported { graph, weights, input_shapes, max_abs_diff } = import(task, inputs, Stage::Import)?;
    let nodes = graph.nodes().len();
    let json = graph.to_json();
    if task.spec.triton.is_some() {
        triton::check(&graph)?;
    }
    weights::save(&task.path(WEIGHTS), &graph, &weights)?;
    task.write(GRAPH, json.as_bytes())?;

    let result = ImportResult {
        input_shapes,
        nodes,
        max_abs_diff,
        bytes,
        sha256,
        accuracy: None,
        val_metric: None,
        data: None,
        has_source: matches!(dataset, Some(Given::Source(_) | Given::Packed(_))),
        preparation: dataset.as_ref().and_then(|given| given.preparation(&graph)),
    };
    if dataset.is_some() {
        check_outputs(task, &graph)?;
    } else {
        task.spec.check_without_data()?;
    }
    let Some(Given::Arrays(dataset)) = dataset else {
        task.write_json(DATASET_SUMMARY, &None::<DatasetSummary>)?;
        return Ok(result);
    };
    task.write_json(DATASET_SUMMARY, dataset.summary())?;
    let measured = measured_original(task, dataset, graph, weights)?;
    Ok(ImportResult {
        accuracy: measured.accuracy,
        val_metric: measured.val_metric,
        data: Some(Box::new(measured.data)),
        ..result
    })
}

/// What the user gave as a data set.
enum Given {
    Arrays(Dataset),
    /// Arrays that are to be unpacked first, since they do not fit into memory.
    Packed(Dataset),
    /// Pictures, recordings or tables, of which arrays are made first.
    Source(Box<Source>),
}

impl Given {
    fn of(file: &Arc<File>) -> Result<Self, Rejection> {
        if let Some(source) = Source::recognise(file)? {
            return Ok(Self::Source(Box::new(source)));
        }
        let dataset = Dataset::of_file(Arc::clone(file))?;
        let is_too_large = dataset.arrays().any(|array| array.is_packed() && array.bytes_in_memory() > memory::share());
        Ok(if is_too_large { Self::Packed(dataset) } else { Self::Arrays(dataset) })
    }

    /// What the stage `prepare` will do.
    fn preparation(&self, graph: &Graph) -> Option<Preparation> {
        match self {
            Self::Arrays(_) => None,
            Self::Packed(_) => Some(Preparation::Unpack),
            Self::Source(_) => Preparation::conversion(graph),
        }
    }
}

/// What the original is worth on a data set of arrays.
pub(super) struct MeasuredOriginal {
    pub(super) accuracy: Option<Accuracy>,
    pub(super) val_metric: Option<f64>,
    pub(super) data: DataReport,
}

/// # Errors
/// The data set does not fit the model or the spec.
pub(super) fn measured_original(
    task: &Task,
    dataset: Dataset,
    graph: Graph,
    weights: Vec<tch::Tensor>,
) -> Result<MeasuredOriginal, Error> {
    let data = Data::of(dataset, &graph, task.spec, task.device)?;
    let val = data.split(SplitName::Val)?;
    if let Some(settings) = &task.spec.fine_tune {
        training::check_labels(settings, data.has_labels())?;
        Augment::new(&settings.augment, &val, training::labels_learnt_from(settings, &val), task.spec.seed)?;
    }
    let mut measured = MeasuredOriginal { accuracy: None, val_metric: None, data: data.report() };
    if !data.has_labels() {
        return Ok(measured);
    }
    let weights = weights.iter().map(|tensor| tensor.f_to(task.device)).collect::<Result<_, _>>()?;
    let network = Network::new(graph, weights)?;
    measured.accuracy = evaluate::held_out(&network, &val, &data.split(SplitName::Test)?)?;
    if measured.accuracy.is_none() {
        measured.val_metric = evaluate::with_labels(&network, &val)?.map(|judged| judged.value);
    }
    Ok(measured)
}

/// Loads the model after the pre-flight and says what it is. The inputs are tried in their order; `None` are those that the archive records.
pub(super) fn import(
    workspace: &Workspace,
    shapes: Vec<Option<Vec<InputSpec>>>,
    stage: Stage,
) -> Result<Imported, Error> {
    if let Some(ignored) = guard::ignored_switch() {
        workspace.messages.log(ignored);
    }
    if guard::Layer::Preflight.is_on() {
        archive::preflight(&workspace.path(MODEL))?;
    }
    let model = workspace.path(MODEL);
    let limit = match stage {
        Stage::Inspect => LONGEST_INSPECTION,
        _ => LONGEST_IMPORT,
    };
    let imported =
        deadline::within(fault::time_limit(stage, limit), "Importing the model", workspace.messages, || {
            fault::get_stuck(stage);
            import_with_some_shape(&model, &shapes)?.with_free_sizes(&model).map_err(Error::from)
        })?;
    let imported = imported.unwrap_or_else(|panic| Err(given_up(&panic).into()))?;
    let Imported { graph, input_shapes, max_abs_diff, .. } = &imported;
    let nodes = graph.nodes().len();
    workspace.messages.log(format!("imported {nodes} nodes, inputs {input_shapes:?}, difference {max_abs_diff:e}"));
    Ok(imported)
}

/// A panic on the way from the file to its graph: a fault of ours, but it comes with this file, and trying again would end the same.
pub(super) fn given_up(panic: &str) -> Rejection {
    Rejection::new(Code::UnsupportedModel, format!("The importer gave up on this model: {panic}."))
        .hint("Report this fault of the importer, with the model.")
}

fn import_with_some_shape(model: &Path, shapes: &[Option<Vec<InputSpec>>]) -> Result<Imported, Error> {
    let mut refusals = Vec::new();
    for shape in shapes {
        match torch::import_with(model, shape.as_deref()).map_err(Error::from) {
            Err(Error::Rejected(rejection)) if rejection.code == Code::InputShape => {
                refusals.push((shape.is_some(), rejection));
            }
            other => return other,
        }
    }
    // The first shape is the likely one, so its refusal tells most; that the archive records none says less than any.
    let is_unknown = |(is_a_shape, _): &(bool, Rejection)| !is_a_shape;
    let refusal = refusals.into_iter().min_by_key(is_unknown).map(|(_, rejection)| rejection);
    Err(refusal.map_or_else(|| Error::internal("a data set without a sample shape"), Error::from))
}

/// The inputs that the stored samples can be, the likely ones first, by their names where they have any. Each input of several is given as it is stored, or with its channels in
/// front where that is what it looks like.
fn sample_inputs(dataset: &Dataset) -> Vec<Vec<InputSpec>> {
    let inputs = &dataset.summary().inputs;
    let mut names = dataset.argument_names().unwrap_or_default().into_iter();
    if let [only] = &inputs[..] {
        let name = names.next();
        let named = |shape| vec![InputSpec { name: name.clone(), ..input(only, shape) }];
        return sample_shapes(only).into_iter().map(named).collect();
    }
    let likely =
        |stored: &InputSummary| InputSpec { name: names.next(), ..input(stored, sample_shapes(stored).remove(0)) };
    vec![inputs.iter().map(likely).collect()]
}

/// Whole numbers of more than a byte are taken for what they are, bytes for pictures.
fn input(stored: &InputSummary, shape: Vec<i64>) -> InputSpec {
    let is_picture = stored.is_float() || matches!(stored.dtype.as_str(), "uint8" | "bool");
    let dtype = (!is_picture).then_some(DType::Int64);
    InputSpec { dtype, ..InputSpec::from(shape) }
}

/// The shapes that a stored sample can be given to the model in, the likely one first.
fn sample_shapes(stored: &InputSummary) -> Vec<Vec<i64>> {
    let shape: Vec<i64> = stored.shape.iter().map(|&size| size as i64).collect();
    match shape[..] {
        [height, width] => vec![shape, vec![1, height, width]],
        [first, second, third] => {
            let mut shapes = vec![shape, vec![third, first, second]];
            if stored.layout() == Layout::Nhwc {
                shapes.reverse();
            }
            shapes
        }
        _ => vec![shape],
    }
}

/// Whether the job can measure and train what the model returns, which is told now and not after the search.
fn check_outputs(task: &Task, graph: &Graph) -> Result<(), Rejection> {
    let values = graph.output().tensors();
    let has_batch = |index: usize| graph.value(values[index]).shape.iter().any(|size| size.per_sample > 0);
    let objectives = output::objectives(graph, task.spec.outputs())?;
    let is_measured = |objective: &Objective| {
        objective.output.kind != OutputKind::Ignore && objective.weight > 0.0 && has_batch(objective.output.index)
    };
    if !objectives.iter().any(is_measured) {
        return Err(Rejection::new(
            Code::UnsupportedModel,
            "None of the model's outputs says anything of a sample that could be measured: each holds whole numbers, has no dimension that \
             grows with the batch, or is left out by `fine_tune.outputs`.",
        )
        .at("fine_tune.outputs")
        .hint("Prune without a data set, or wrap the model so that it returns its scores, [batch, ...]."));
    }
    Ok(())
}

/// Bytes and SHA-256, hexadecimal, of a file that was just opened.
pub(super) fn digest(mut file: impl Read) -> io::Result<(u64, String)> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut bytes = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
        bytes += read as u64;
    }
    let hex = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((bytes, hex))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_that_of_sha256sum() {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest(&b"abc"[..]).unwrap(), (3, expected.to_owned()));
    }
}

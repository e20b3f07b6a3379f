//! Pictures, recordings and tables become arrays in the size that the model takes, large packed arrays are unpacked, and the original is
//! measured on them.

use std::path::Path;
use std::sync::Arc;

use secateur_core::dataset::Dataset;
use secateur_core::dataset::source::Source;
use secateur_core::graph::Graph;
use secateur_core::recovery::{DataReport, SourceReport, UnreadSample};
use secateur_core::rejection::{Code, Rejection};
use secateur_core::stage::import::DATASET_SUMMARY;
use secateur_core::stage::prepare::{PrepareResult, SAMPLES};

use super::import::{MeasuredOriginal, measured_original};
use super::task::Task;
use crate::error::Error;
use crate::prepare::{BadSample, Wanted, convert, unpack};

/// Writes the arrays.
///
/// # Errors
/// The data set does not fit the model, or too much of it cannot be read.
pub(super) fn run(task: &Task, _work: &()) -> Result<PrepareResult, Error> {
    let file = task.dataset.as_ref().ok_or_else(|| Error::internal("a task that prepares a data set without one"))?;
    let (graph, weights) = task.original()?.into_parts();
    let out = task.path(SAMPLES);
    let source = match Source::recognise(file)? {
        Some(source) => Some(converted(task, &source, &graph, &out)?),
        None => {
            unpack(&Dataset::of_file(Arc::clone(file))?, &out)?;
            None
        }
    };
    let dataset = Dataset::open(&out)?;
    task.write_json(DATASET_SUMMARY, dataset.summary())?;
    let MeasuredOriginal { accuracy, val_metric, data } = measured_original(task, dataset, graph, weights)?;
    Ok(PrepareResult { accuracy, val_metric, data: Box::new(DataReport { source, ..data }) })
}

/// Makes arrays of pictures, recordings or tables.
fn converted(task: &Task, source: &Source, graph: &Graph, out: &Path) -> Result<SourceReport, Error> {
    let &[input] = graph.inputs() else {
        let count = graph.inputs().len();
        return Err(Rejection::new(
            Code::DatasetMismatch,
            format!("The model takes {count} inputs, and a data set of this format has one."),
        )
        .hint("Save the inputs as arrays `x0`, `x1` and so on in an `.npz` or a `.safetensors` file.")
        .into());
    };
    let input = graph.value(input);
    let wanted = Wanted {
        shape: input.shape.iter().skip(1).map(|size| usize::try_from(size.fixed).unwrap_or(0)).collect(),
        dtype: input.dtype,
        resize: task.spec.data.as_ref().and_then(|data| data.resize),
        seed: task.spec.seed,
        threads: task.threads,
    };
    let mut counter = None;
    let converted = convert(source, &wanted, out, &mut |done, total| {
        counter.get_or_insert_with(|| task.messages.count(total as u64, "samples")).reach(done as u64);
    })?;
    drop(counter);
    task.messages.log(format!(
        "{} samples to train on, {} to validate, {} to test; {} could not be read",
        converted.samples.train, converted.samples.val, converted.samples.test, converted.bad.count
    ));
    let unread = |BadSample { name, reason }: BadSample| UnreadSample { name, reason };
    Ok(SourceReport {
        format: source.summary().format,
        class_names: converted.classes,
        bad_samples: converted.bad.count,
        first_bad: converted.bad.first.into_iter().map(unread).collect(),
    })
}

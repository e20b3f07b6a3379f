//! Pictures, recordings and tables become arrays in the size that the model takes, large packed arrays are unpacked, and the original is
//! measured on them. Where an earlier job has left the same arrays, these are taken if they are whole.

use std::path::Path;
use std::sync::Arc;

use secateur_core::dataset::source::Source;
use secateur_core::dataset::{Dataset, SplitCounts};
use secateur_core::graph::Graph;
use secateur_core::recovery::{DataReport, SourceReport, UnreadSample};
use secateur_core::rejection::{Code, Rejection};
use secateur_core::stage::import::{DATASET_SUMMARY, Preparation};
use secateur_core::stage::prepare::{EARLIER_FACTS, EarlierFacts, PrepareResult, SAMPLES};

use super::import::{MeasuredOriginal, digest, measured_original};
use super::task::Task;
use crate::error::Error;
use crate::prepare::{BadSample, Wanted, convert, unpack};

/// The arrays, and what is said of the source that they were made of.
struct Prepared {
    dataset: Dataset,
    source: Option<SourceReport>,
}

/// Writes the arrays, or takes those of an earlier job.
///
/// # Errors
/// The data set does not fit the model, or too much of it cannot be read.
pub(super) fn run(task: &Task, _work: &()) -> Result<PrepareResult, Error> {
    let (graph, weights) = task.original()?.into_parts();
    let earlier = of_an_earlier_job(task);
    let is_taken_over = earlier.is_some();
    let Prepared { dataset, source } = match earlier {
        Some(earlier) => earlier,
        None => made(task, &graph)?,
    };
    task.write_json(DATASET_SUMMARY, dataset.summary())?;
    let MeasuredOriginal { accuracy, val_metric, data } = measured_original(task, dataset, graph, weights)?;
    Ok(PrepareResult { accuracy, val_metric, data: Box::new(DataReport { source, ..data }), is_taken_over })
}

/// What an earlier job has left, with a line in the log; `None` where that is nothing, or nothing of use.
fn of_an_earlier_job(task: &Task) -> Option<Prepared> {
    if !task.path(EARLIER_FACTS).exists() {
        return None;
    }
    let (found, said) = match opened(task) {
        Ok(prepared) => {
            let samples = prepared.dataset.summary().samples;
            let bad = prepared.source.as_ref().map_or(0, |source| source.bad_samples);
            let said = format!(
                "the samples that an earlier job has prepared are used: {} to train on, {} to validate, {} to test; {bad} could not \
                 be read",
                samples.train, samples.val, samples.test
            );
            (Some(prepared), said)
        }
        Err(reason) => (
            None,
            format!(
                "the samples that an earlier job has prepared are not used, since {reason}; they are prepared again"
            ),
        ),
    };
    task.messages.log(said);
    found
}

/// The arrays of an earlier job, if they are the very bytes that it wrote; else why not, a clause.
fn opened(task: &Task) -> Result<Prepared, String> {
    let EarlierFacts { sha256, summary, source } =
        task.read_json(EARLIER_FACTS).map_err(|error| format!("what is known of them cannot be read ({error})"))?;
    let file = task.files.earlier_samples.as_ref().ok_or("they are gone")?;
    let SplitCounts { train, val, test } = summary.samples;
    let total = (train + val + test) as u64;
    let mut counter = task.messages.count(total, "samples");
    counter.note("looking at the samples that an earlier job has prepared");
    let (_, found) = digest(&**file).map_err(|error| format!("they cannot be read ({error})"))?;
    if found != sha256 {
        return Err("they are damaged".to_owned());
    }
    let dataset = Dataset::of_known_file(Arc::clone(file), summary).map_err(|refused| refused.detail)?;
    counter.note("using the samples that an earlier job has prepared");
    counter.reach(total);
    Ok(Prepared { dataset, source })
}

/// The arrays of the job's own data set.
fn made(task: &Task, graph: &Graph) -> Result<Prepared, Error> {
    let file =
        task.files.dataset.as_ref().ok_or_else(|| Error::internal("a task that prepares a data set without one"))?;
    let out = task.path(SAMPLES);
    let source = match Source::recognise(file)? {
        Some(source) => Some(converted(task, &source, graph, &out)?),
        None => {
            unpack(&Dataset::of_file(Arc::clone(file))?, &out)?;
            None
        }
    };
    Ok(Prepared { dataset: Dataset::open(&out)?, source })
}

/// Makes arrays of pictures, recordings or tables.
fn converted(task: &Task, source: &Source, graph: &Graph, out: &Path) -> Result<SourceReport, Error> {
    let Some(Preparation::Convert { shape, dtype }) = Preparation::conversion(graph) else {
        let count = graph.inputs().len();
        return Err(Rejection::new(
            Code::DatasetMismatch,
            format!("The model takes {count} inputs, and a data set of this format has one."),
        )
        .hint("Save the inputs as arrays `x0`, `x1` and so on in an `.npz` or a `.safetensors` file.")
        .into());
    };
    let wanted = Wanted {
        shape,
        dtype,
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

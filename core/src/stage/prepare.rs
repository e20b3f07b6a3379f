//! The stage `prepare`: pictures, recordings and tables become the arrays that training reads, in the size that the model takes, and
//! packed arrays that do not fit into memory are unpacked.
//!
//! What it writes follows from the data set, the model's input, `data.resize` and `seed` alone, so a server keeps it for later jobs. A
//! task is offered what an earlier job has left ([`Source::Prepared`]): the arrays as [`EARLIER_SAMPLES`] and what is known of them as
//! [`EARLIER_FACTS`]. It uses them when they are whole, and converts the data set otherwise.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::definition::Definition;
use super::import::{self, ImportResult, Preparation};
use super::job::{FinishedTask, Input, JobView, PlanError, PlannedTask, Source};
use super::measurement::Measurements;
use super::{Stage, Work};
use crate::dataset::DatasetSummary;
use crate::digest::digest;
use crate::recovery::{Accuracy, DataReport, SourceReport};
use crate::sandbox::Profile;
use crate::spec::JobSpec;

/// The arrays, as `.safetensors`.
pub const SAMPLES: &str = "samples.safetensors";
/// SAMPLES of an earlier job; missing where they are gone.
pub const EARLIER_SAMPLES: &str = "earlier-samples";
/// [`EarlierFacts`]; there only where an earlier job has left something.
pub const EARLIER_FACTS: &str = "earlier.json";

/// Raise it with every change of the bytes that a data set becomes, so that what older versions have left is not used.
pub const VERSION: u32 = 1;

/// The stage.
pub struct Prepare;

/// What was written, and what the original is worth on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PrepareResult {
    /// Accuracy of the original; `None` where something else is measured.
    #[serde(default)]
    pub accuracy: Option<Accuracy>,
    /// Any other metric of the original with the labels, on the validation split.
    #[serde(default)]
    pub val_metric: Option<f64>,
    /// The data set as it is used.
    pub data: Box<DataReport>,
    /// Whether the arrays are those of an earlier job. SAMPLES is not written then.
    #[serde(default)]
    pub is_taken_over: bool,
}

/// What is known of the arrays of an earlier job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EarlierFacts {
    /// Of the file, hexadecimal.
    pub sha256: String,
    /// What DATASET_SUMMARY was.
    pub summary: DatasetSummary,
    /// What was said of the source; `None` where arrays were unpacked.
    pub source: Option<SourceReport>,
}

/// Digest of all that the arrays depend on beside the data set.
fn fingerprint(preparation: &Preparation, spec: &JobSpec) -> String {
    match preparation {
        Preparation::Convert { shape, dtype } => digest(&json!({
            "version": VERSION,
            "shape": shape,
            "dtype": dtype,
            "resize": spec.data.as_ref().and_then(|data| data.resize),
            "seed": spec.seed,
        })),
        Preparation::Unpack => digest(&json!({"version": VERSION, "unpack": true})),
    }
}

impl<'a> JobView<'a> {
    /// The data set as the user gave it, where there is one.
    pub(super) fn uploaded_dataset(self) -> Option<Input> {
        self.has_dataset.then(|| Input { name: import::DATASET.to_owned(), source: Source::Dataset })
    }

    /// The data set and its summary as inputs of the stages that compute with it, where there is one.
    pub(super) fn dataset(self) -> impl Iterator<Item = Input> {
        let is_prepared = self.result::<PrepareResult>(Stage::Prepare).is_some();
        let prepared = Source::Output { stage: Stage::Prepare, index: 0, name: SAMPLES.to_owned() };
        let (source, checked_by) =
            if is_prepared { (prepared, Stage::Prepare) } else { (Source::Dataset, Stage::Import) };
        let dataset = Input { name: import::DATASET.to_owned(), source };
        // A job that an earlier version has begun has none.
        let has_summary = |task: &FinishedTask| {
            task.stage == checked_by && task.files.iter().any(|file| file == import::DATASET_SUMMARY)
        };
        let summary = Input::output(checked_by, 0, import::DATASET_SUMMARY);
        let summary = Some(summary).filter(|_| self.finished.iter().any(has_summary));
        [Some(dataset), summary].into_iter().flatten().filter(move |_| self.has_dataset)
    }

    /// Accuracy of the original network.
    pub(super) fn original_accuracy(self) -> Option<Accuracy> {
        let prepared = self.result::<PrepareResult>(Stage::Prepare).and_then(|found| found.accuracy);
        prepared.or_else(|| self.result::<ImportResult>(Stage::Import)?.accuracy)
    }

    /// Any other metric of the original network with the labels, on the validation split.
    pub(super) fn original_metric(self) -> Option<f64> {
        let prepared = self.result::<PrepareResult>(Stage::Prepare).and_then(|found| found.val_metric);
        prepared.or_else(|| self.result::<ImportResult>(Stage::Import)?.val_metric)
    }

    /// The data set as it is used; `None` without one.
    pub(super) fn data_report(self) -> Option<&'a DataReport> {
        let prepared = self.result::<PrepareResult>(Stage::Prepare).map(|found| &*found.data);
        prepared.or_else(|| self.result::<ImportResult>(Stage::Import)?.data.as_deref())
    }
}

impl Definition for Prepare {
    type Work = ();
    type Result = PrepareResult;

    /// It decodes what somebody sent.
    const PROFILE: Profile = Profile::Import;

    fn is_part_of(_spec: &JobSpec, has_dataset: bool) -> bool {
        has_dataset
    }

    fn plan(job: JobView<'_>, _reused: &Measurements) -> Result<Vec<PlannedTask>, PlanError> {
        let import: Option<&ImportResult> = job.result(Stage::Import);
        let import = import.ok_or(PlanError { stage: Stage::Prepare, missing: "import" })?;
        if !import.has_source {
            return Ok(Vec::new());
        }
        let earlier = import.preparation.as_ref().map(|preparation| Input {
            name: EARLIER_SAMPLES.to_owned(),
            source: Source::Prepared { fingerprint: fingerprint(preparation, job.spec) },
        });
        let inputs = import::network().into_iter().chain(job.uploaded_dataset()).chain(earlier);
        Ok(PlannedTask::only(Work::Prepare(()), inputs))
    }

    fn files(_work: &()) -> Vec<String> {
        vec![SAMPLES.to_owned(), import::DATASET_SUMMARY.to_owned()]
    }

    fn left_out(result: &PrepareResult) -> &'static [&'static str] {
        if result.is_taken_over { &[SAMPLES] } else { &[] }
    }

    #[cfg(any(test, feature = "testing"))]
    fn sample(_work: &()) -> PrepareResult {
        let samples = crate::dataset::SplitCounts { train: 8, val: 1, test: 1 };
        let data = DataReport { samples, classes: Some(2), outputs: Some(2), supervision: None, source: None };
        let accuracy = Some(Accuracy { val: 0.9, test: 0.8 });
        PrepareResult { accuracy, val_metric: None, data: Box::new(data), is_taken_over: false }
    }
}

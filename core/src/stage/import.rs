//! The stage `import`: the user's program becomes a graph and its tensors, and is proved to be the same function.

use serde::{Deserialize, Serialize};

use super::definition::Definition;
use super::job::{Input, JobView, PlanError, PlannedTask, Source};
use super::measurement::Measurements;
use super::{Stage, Work};
use crate::graph::{DType, Graph};
use crate::recovery::{Accuracy, DataReport};
use crate::sandbox::Profile;

/// The user's TorchScript archive. Read by `import`, `inspect` and `export`, which writes the same program with less in it.
pub const MODEL: &str = "model.pt";
/// The user's data set; in the stages behind `prepare` the arrays that were made of it.
pub const DATASET: &str = "dataset";
/// The imported graph ([`crate::graph::GraphFile`]).
pub const GRAPH: &str = "graph.json";
/// What the data set holds ([`crate::dataset::DatasetSummary`]), so that later stages need not read it for that; `null` without
/// one, and before it is arrays.
pub const DATASET_SUMMARY: &str = "dataset.json";
/// The original tensors by name.
pub const WEIGHTS: &str = "weights.safetensors";

/// The stage.
pub struct Import;

/// What the import found out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImportResult {
    /// Shapes of one sample of each input.
    pub input_shapes: Vec<Vec<i64>>,
    /// Nodes of the graph.
    pub nodes: usize,
    /// Largest absolute difference between the imported graph's outputs and `Module::forward`'s.
    pub max_abs_diff: f64,
    /// Of MODEL.
    pub bytes: u64,
    /// Of MODEL, hexadecimal.
    pub sha256: String,
    /// Accuracy of the original; `None` without labels.
    #[serde(default)]
    pub accuracy: Option<Accuracy>,
    /// Any other metric of the original with the labels, on the validation split.
    #[serde(default)]
    pub val_metric: Option<f64>,
    /// `None` without a data set, and before it is arrays.
    #[serde(default)]
    pub data: Option<Box<DataReport>>,
    /// Whether the stage `prepare` makes arrays of the data set.
    #[serde(default)]
    pub has_source: bool,
    /// What `prepare` does; `None` without that stage, for a model that it refuses, and in results of earlier versions.
    #[serde(default)]
    pub preparation: Option<Preparation>,
}

/// How the stage `prepare` makes arrays of a data set, as far as the model decides it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preparation {
    /// Samples become what the model's only input takes.
    Convert {
        /// One sample without the batch.
        shape: Vec<usize>,
        /// The type of the input.
        dtype: DType,
    },
    /// Packed arrays are unpacked as they are.
    Unpack,
}

impl Preparation {
    /// A conversion to what the model's only input takes; `None` for a model with several.
    pub fn conversion(graph: &Graph) -> Option<Self> {
        let &[input] = graph.inputs() else { return None };
        let input = graph.value(input);
        let shape = input.shape.iter().skip(1).map(|size| usize::try_from(size.fixed).unwrap_or(0)).collect();
        Some(Self::Convert { shape, dtype: input.dtype })
    }
}

/// The user's model as an input.
pub(super) fn model() -> Input {
    Input { name: MODEL.to_owned(), source: Source::Model }
}

/// What later stages read: the graph and the weights.
pub(super) fn network() -> [Input; 2] {
    [Input::output(Stage::Import, 0, GRAPH), Input::output(Stage::Import, 0, WEIGHTS)]
}

impl Definition for Import {
    type Work = ();
    type Result = ImportResult;

    const PROFILE: Profile = Profile::Import;

    fn plan(job: JobView<'_>, _reused: &Measurements) -> Result<Vec<PlannedTask>, PlanError> {
        Ok(PlannedTask::only(Work::Import(()), [model()].into_iter().chain(job.uploaded_dataset())))
    }

    fn files(_work: &()) -> Vec<String> {
        vec![GRAPH.to_owned(), WEIGHTS.to_owned(), DATASET_SUMMARY.to_owned()]
    }

    #[cfg(any(test, feature = "testing"))]
    fn sample(_work: &()) -> ImportResult {
        ImportResult {
            input_shapes: vec![vec![1, 8, 8]],
            nodes: 1,
            max_abs_diff: 0.0,
            bytes: 1,
            sha256: "00".to_owned(),
            accuracy: Some(Accuracy { val: 0.9, test: 0.8 }),
            val_metric: None,
            data: None,
            has_source: false,
            preparation: None,
        }
    }
}

//! A task with the folder and the device that it runs on, and what is read and written there.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use secateur_core::configuration::Candidate;
use secateur_core::dataset::{Dataset, DatasetSummary};
use secateur_core::graph::Graph;
use secateur_core::spec::{FineTune, JobSpec};
use secateur_core::stage::import::{DATASET_SUMMARY, GRAPH, WEIGHTS};
use secateur_core::stage::search::CANDIDATES;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tch::Device;

use crate::data::{Data, Split};
use crate::error::Error;
use crate::network::{Network, weights};
use crate::output::Outputs;
use crate::process::checkpoint::Checkpoints;
use crate::process::messages::Messages;

/// Files that lie where only the worker's rights reach, so they are opened before the sandbox is entered.
#[derive(Debug, Clone, Default)]
pub struct GivenFiles {
    /// The job's data set, as it was given or as `prepare` has written it.
    pub dataset: Option<Arc<File>>,
    /// The arrays that an earlier job has prepared, in a task that may use them.
    pub earlier_samples: Option<Arc<File>>,
}

/// Where a task runs.
pub struct Workspace<'a> {
    /// Where its files are.
    pub folder: &'a Path,
    /// Its files that may be elsewhere.
    pub files: GivenFiles,
    /// Where it computes.
    pub device: Device,
    /// Compute threads.
    pub threads: usize,
    /// The worker's ear.
    pub messages: &'a Messages,
}

/// A task of a job.
pub struct Task<'a> {
    /// What the job is to do.
    pub spec: &'a JobSpec,
    /// Where it runs.
    pub workspace: Workspace<'a>,
    /// Where it goes on after an interruption.
    pub checkpoints: Checkpoints<'a>,
}

impl<'a> Deref for Task<'a> {
    type Target = Workspace<'a>;

    fn deref(&self) -> &Workspace<'a> {
        &self.workspace
    }
}

impl Workspace<'_> {
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(super) fn graph(&self) -> Result<Graph, Error> {
        let path = self.path(GRAPH);
        let json = std::fs::read_to_string(&path).map_err(Error::file(&path))?;
        Ok(Graph::from_json(&json)?)
    }

    pub(super) fn candidate(&self, index: usize) -> Result<Candidate, Error> {
        let candidates: Vec<Candidate> = self.read_json(CANDIDATES)?;
        candidates
            .into_iter()
            .find(|candidate| candidate.index == index)
            .ok_or_else(|| Error::internal(format!("{} holds no candidate {index}", CANDIDATES)))
    }

    pub(super) fn read_json<T: DeserializeOwned>(&self, name: &str) -> Result<T, Error> {
        let path = self.path(name);
        let json = std::fs::read(&path).map_err(Error::file(&path))?;
        serde_json::from_slice(&json).map_err(|error| Error::file(&path)(error.into()))
    }

    pub(super) fn write_json<T: Serialize>(&self, name: &str, value: &T) -> Result<(), Error> {
        let json = serde_json::to_vec(value).map_err(|error| Error::file(&self.path(name))(error.into()))?;
        self.write(name, &json)
    }

    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let path = self.path(name);
        let beside = self.path(&format!("{name}.partial"));
        let written: io::Result<()> = std::fs::write(&beside, bytes).and_then(|()| std::fs::rename(&beside, &path));
        written.map_err(Error::file(&path))
    }

    pub(super) fn size_of(&self, name: &str) -> Result<u64, Error> {
        let path = self.path(name);
        Ok(std::fs::metadata(&path).map_err(Error::file(&path))?.len())
    }

    /// The original network, on the task's device.
    pub(super) fn original(&self) -> Result<Network, Error> {
        let graph = self.graph()?;
        let weights = weights::load(&self.path(WEIGHTS), &graph, self.device)?;
        Network::new(graph, weights)
    }
}

impl Task<'_> {
    pub(super) fn fine_tune(&self) -> Result<&FineTune, Error> {
        self.spec.fine_tune.as_ref().ok_or_else(|| Error::internal("a tuning task of a job without `fine_tune`"))
    }

    /// What is measured of the model's outputs, and trained.
    pub(super) fn outputs(&self, original: &Network, train: &Split) -> Result<Outputs, Error> {
        Outputs::of(original, train, self.spec.outputs())
    }

    /// The job's data set, when it has one. It was checked by an earlier stage, which has left a summary unless it was of an older version.
    pub(super) fn data(&self, graph: &Graph) -> Result<Option<Data<'_>>, Error> {
        let Some(file) = self.files.dataset.clone() else { return Ok(None) };
        let summary: Option<DatasetSummary> =
            if self.path(DATASET_SUMMARY).exists() { self.read_json(DATASET_SUMMARY)? } else { None };
        let dataset = match summary {
            Some(summary) => Dataset::of_checked_file(file, summary)?,
            None => Dataset::of_file(file)?,
        };
        Data::of(dataset, graph, self.spec, self.device).map(Some)
    }
}

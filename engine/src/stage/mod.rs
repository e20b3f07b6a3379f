//! What one task does, stage by stage, as documented on [`secateur_core::task::Work`].
//!
//! A stage reads its inputs from the task's folder under fixed names and writes its outputs there; each file appears whole or not
//! at all. Nothing is kept between tasks, so a task that was lost is simply run again, from its last checkpoint if it left one.

mod calibration;
mod encoder;
mod export;
mod graph;
mod import;
mod importance;
mod inspect;
mod latency;
mod rung;
mod screen;
mod search;
mod sensitivity;
mod tune;
mod verify;

use std::io;
use std::path::{Path, PathBuf};

use secateur_core::candidate::Candidate;
use secateur_core::graph::Graph;
use secateur_core::group::Grouping;
use secateur_core::spec::{FineTune, JobSpec};
use secateur_core::surgery::{self, Cut};
use secateur_core::task::{TaskRequest, TaskResult, Work, file};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tch::Device;

use crate::checkpoint::Checkpoints;
use crate::data::Data;
use crate::error::Error;
use crate::messages::Messages;
use crate::network::Network;
use crate::weights;

/// A task with the folder and the device that it runs on.
pub struct Task<'a> {
    pub spec: &'a JobSpec,
    pub folder: &'a Path,
    pub device: Device,
    pub threads: usize,
    pub messages: &'a Messages,
    pub checkpoints: Checkpoints<'a>,
}

/// What a finished task hands back.
#[derive(Debug)]
pub struct Finished {
    pub result: TaskResult,
    /// Names of the files that it wrote for later stages.
    pub files: Vec<String>,
}

/// Carries out a task in a folder. libtorch is initialised already.
pub fn run(request: &TaskRequest, folder: &Path, device: Device, messages: &Messages) -> Result<Finished, Error> {
    let checkpoints = Checkpoints::of(request, folder, messages);
    let task = Task { spec: &request.spec, folder, device, threads: request.threads, messages, checkpoints };
    match &request.work {
        Work::Inspect => inspect::run(&task),
        Work::Import => import::run(&task),
        Work::Graph => graph::run(&task),
        Work::Latency => latency::run(&task),
        Work::Importance => importance::run(&task),
        Work::Calibration { sample, latency } => calibration::run(&task, sample.clone(), latency.as_deref()),
        Work::Encoder { calibration } => encoder::run(&task, calibration),
        Work::Sensitivity { probes } => sensitivity::run(&task, probes),
        Work::Search { sensitivities, latency } => search::run(&task, sensitivities, latency.as_deref()),
        Work::Screen { candidates, compare_channels_of } => screen::run(&task, candidates, *compare_channels_of),
        Work::Repair { candidates } => rung::repair(&task, candidates),
        Work::LightTune { candidates } => rung::light_tune(&task, candidates),
        Work::Tune { candidate } => tune::run(&task, *candidate),
        Work::Export { candidate, tuned } => export::run(&task, *candidate, *tuned),
        Work::Verify { history } => verify::run(&task, history),
    }
}

impl Finished {
    fn new(result: TaskResult, files: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { result, files: files.into_iter().map(Into::into).collect() }
    }
}

impl Task<'_> {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn graph(&self) -> Result<Graph, Error> {
        let path = self.path(file::GRAPH);
        let json = std::fs::read_to_string(&path).map_err(Error::file(&path))?;
        Ok(Graph::from_json(&json)?)
    }

    /// The original network, on the task's device.
    fn original(&self) -> Result<Network, Error> {
        let graph = self.graph()?;
        let weights = weights::load(&self.path(file::WEIGHTS), &graph, self.device)?;
        Network::new(graph, weights)
    }

    fn candidate(&self, index: usize) -> Result<Candidate, Error> {
        let candidates: Vec<Candidate> = self.read_json(file::CANDIDATES)?;
        candidates
            .into_iter()
            .find(|candidate| candidate.index == index)
            .ok_or_else(|| Error::internal(format!("{} holds no candidate {index}", file::CANDIDATES)))
    }

    fn cut(&self, graph: &Graph, candidate: &Candidate) -> Result<Cut, Error> {
        surgery::cut(graph, &Grouping::of(graph), &candidate.configuration)
            .map_err(|error| Error::internal(format!("candidate {}: {error}", candidate.index)))
    }

    fn fine_tune(&self) -> Result<&FineTune, Error> {
        self.spec.fine_tune.as_ref().ok_or_else(|| Error::internal("a tuning task of a job without `fine_tune`"))
    }

    /// The job's data set, when it has one.
    fn data(&self, graph: &Graph) -> Result<Option<Data<'_>>, Error> {
        let path = self.path(file::DATASET);
        if !path.exists() {
            return Ok(None);
        }
        Data::open(&path, graph, self.spec, self.device).map(Some)
    }

    fn read_json<T: DeserializeOwned>(&self, name: &str) -> Result<T, Error> {
        let path = self.path(name);
        let json = std::fs::read(&path).map_err(Error::file(&path))?;
        serde_json::from_slice(&json).map_err(|error| Error::file(&path)(error.into()))
    }

    fn write_json<T: Serialize>(&self, name: &str, value: &T) -> Result<(), Error> {
        let json = serde_json::to_vec(value).map_err(|error| Error::file(&self.path(name))(error.into()))?;
        self.write(name, &json)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let path = self.path(name);
        let beside = self.path(&format!("{name}.partial"));
        let written: io::Result<()> = std::fs::write(&beside, bytes).and_then(|()| std::fs::rename(&beside, &path));
        written.map_err(Error::file(&path))
    }

    fn size_of(&self, name: &str) -> Result<u64, Error> {
        let path = self.path(name);
        Ok(std::fs::metadata(&path).map_err(Error::file(&path))?.len())
    }
}

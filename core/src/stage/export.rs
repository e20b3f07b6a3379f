//! The stage `export`: the winner is written as a TorchScript archive. It refuses an accuracy that fell by more than
//! `target.max_metric_drop`.

use serde::{Deserialize, Serialize};

use super::definition::Definition;
use super::job::{Input, JobView, PlanError, PlannedTask};
use super::measurement::Measurements;
use super::tune::Choice;
use super::{Stage, Work, import, search};
use crate::recovery::{Accuracy, MetricReport};
use crate::report::{ExportReport, SizesReport};

/// The pruned TorchScript archive.
pub const PRUNED_MODEL: &str = "pruned.pt";
/// The original, written in the same way; for the latency before.
pub const BASE_MODEL: &str = "base.pt";
/// Inputs at two batch sizes and what the in-memory network answered.
pub const PROBES: &str = "probes.safetensors";
/// The winner's configuration, replayable ([`crate::configuration::ReplayConfig`]).
pub const CONFIG: &str = "config.json";
/// The graph of the pruned network, in the form of [`import::GRAPH`].
pub const PRUNED_GRAPH: &str = "pruned-graph.json";

/// The model for Triton's model repository, with PRUNED_MODEL in it.
pub const TRITON: &str = "triton.zip";

/// Batch sizes of the probes.
pub const PROBE_BATCHES: [i64; 2] = [1, 4];

/// The stage.
pub struct Export;

/// Which network a task writes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ExportWork {
    /// The winner's index.
    pub candidate: usize,
    /// Whether its weights are those of the stage `tune`, else of the stage `screen`.
    pub tuned: bool,
    /// Whether TRITON is written too.
    #[serde(default)]
    pub triton: bool,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExportResult {
    /// The winner's index.
    pub candidate: usize,
    /// Of BASE_MODEL.
    pub base_bytes: u64,
    /// Of PRUNED_MODEL.
    pub pruned_bytes: u64,
    /// Accuracy of the exported network; `None` without labels.
    #[serde(default)]
    pub accuracy: Option<Accuracy>,
    /// The same by the job's own measure; `None` without a data set.
    #[serde(default)]
    pub metric: Option<Box<MetricReport>>,
    /// How PRUNED_MODEL was written.
    #[serde(default)]
    pub export: Option<ExportReport>,
    /// The sizes of input that it takes.
    #[serde(default)]
    pub sizes: Option<Box<SizesReport>>,
}

/// What a task reads that writes a network.
pub(super) fn inputs(job: JobView<'_>, choice: Choice) -> Vec<Input> {
    let network = import::network().into_iter().chain([import::model(), search::candidates()]);
    network.chain(choice.weights).chain(job.dataset()).collect()
}

impl Definition for Export {
    type Work = ExportWork;
    type Result = ExportResult;

    fn plan(job: JobView<'_>, _reused: &Measurements) -> Result<Vec<PlannedTask>, PlanError> {
        let winner = job.winner().ok_or(PlanError { stage: Stage::Export, missing: "screen or tune" })?;
        let tuned = winner.stage == Stage::Tune;
        let work = ExportWork { candidate: winner.candidate, tuned, triton: job.spec.triton.is_some() };
        Ok(PlannedTask::only(Work::Export(work), inputs(job, winner)))
    }

    fn files(work: &ExportWork) -> Vec<String> {
        let triton = Some(TRITON).filter(|_| work.triton);
        let always = [PRUNED_MODEL, BASE_MODEL, PROBES, CONFIG, PRUNED_GRAPH];
        always.into_iter().chain(triton).map(str::to_owned).collect()
    }

    #[cfg(any(test, feature = "testing"))]
    fn sample(work: &ExportWork) -> ExportResult {
        ExportResult {
            candidate: work.candidate,
            base_bytes: 2,
            pruned_bytes: 1,
            accuracy: Some(Accuracy { val: 0.9, test: 0.8 }),
            metric: None,
            export: None,
            sizes: None,
        }
    }
}

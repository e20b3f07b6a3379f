//! The stage `graph`: coupled groups, costs and limits. It refuses a target that cannot be reached.

use serde::{Deserialize, Serialize};

use super::definition::Definition;
use super::job::{JobView, PlanError, PlannedTask};
use super::measurement::Measurements;
use super::{Stage, Work, import};
use crate::cost::Costs;
use crate::search::ranking::sensitivity::Probe;

/// Coupled groups, costs and limits of the model ([`crate::inspection::ModelSummary`]).
pub const SUMMARY: &str = "summary.json";

/// The stage.
pub struct Graph;

/// What the analysis found out, beside the summary.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GraphResult {
    /// Costs of the original.
    pub base: Costs,
    /// Groups that can be cut.
    pub groups: usize,
    /// Channels of all those groups.
    pub channels: u64,
    /// Largest share of the target's metric that the constraints allow to remove; `None` for a latency target, see
    /// [`super::latency::LatencyResult::reachable`].
    #[serde(default)]
    pub reachable: Option<f64>,
    /// Digest of the groups, in their order: the same one means that indices of groups mean the same.
    pub grouping: String,
    /// The sensitivities that `sacp` needs.
    pub probes: Vec<Probe>,
}

impl<'a> JobView<'a> {
    /// What the stage `graph` found out.
    pub(super) fn graph(self) -> Option<&'a GraphResult> {
        self.result(Stage::Graph)
    }
}

impl Definition for Graph {
    type Work = ();
    type Result = GraphResult;

    fn plan(_job: JobView<'_>, _reused: &Measurements) -> Result<Vec<PlannedTask>, PlanError> {
        Ok(PlannedTask::only(Work::Graph(()), import::network()))
    }

    fn files(_work: &()) -> Vec<String> {
        vec![SUMMARY.to_owned()]
    }

    #[cfg(any(test, feature = "testing"))]
    fn sample(_work: &()) -> GraphResult {
        GraphResult {
            base: Costs { macs: 100, params: 10, channels: 4, latency_ms: None },
            groups: 1,
            channels: 4,
            reachable: Some(0.9),
            grouping: "groups".to_owned(),
            probes: [1, 2, 3].map(|width| Probe { group: 0, width }).into(),
        }
    }
}

//! The stage `search`: the configurations that are tried, by search with `sacp`, else by the method's own rule.

use serde::{Deserialize, Serialize};

use super::definition::Definition;
use super::job::{Input, JobView, PlanError, PlannedTask};
use super::measurement::Measurements;
use super::{Stage, Work, import};
use crate::configuration::CandidateCosts;
use crate::latency::LatencyTable;
use crate::search::SearchReport;
use crate::search::ranking::sensitivity::Sensitivity;

/// The configurations that the search proposes (a list of [`crate::configuration::Candidate`]).
pub const CANDIDATES: &str = "candidates.json";

/// The stage.
pub struct Search;

/// What a search knows of the network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SearchWork {
    /// Empty without a data set.
    #[serde(default)]
    pub sensitivities: Vec<Sensitivity>,
    /// With a latency target only.
    #[serde(default)]
    pub latency: Option<Box<LatencyTable>>,
}

/// What was proposed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SearchResult {
    /// The ranked ones first, the baselines last.
    pub candidates: Vec<CandidateCosts>,
    /// What the search did; `None` for methods that do not search.
    #[serde(default)]
    pub search: Option<Box<SearchReport>>,
}

impl<'a> JobView<'a> {
    /// The configurations that the search proposed; `None` before it has finished.
    pub fn proposed(self) -> Option<&'a [CandidateCosts]> {
        self.result::<SearchResult>(Stage::Search).map(|result| result.candidates.as_slice())
    }

    /// What the search did; `None` for methods that do not search.
    pub(super) fn search_report(self) -> Option<&'a SearchReport> {
        self.result::<SearchResult>(Stage::Search)?.search.as_deref()
    }

    /// Whether a candidate is a classical method's or the greedy allocation's.
    pub(super) fn is_baseline(self, candidate: usize) -> bool {
        let proposed = self.proposed().unwrap_or_default();
        proposed.iter().any(|costs| costs.index == candidate && costs.origin.is_baseline())
    }
}

/// The proposed configurations as an input.
pub(super) fn candidates() -> Input {
    Input::output(Stage::Search, 0, CANDIDATES)
}

impl Definition for Search {
    type Work = SearchWork;
    type Result = SearchResult;

    fn plan(job: JobView<'_>, _reused: &Measurements) -> Result<Vec<PlannedTask>, PlanError> {
        let work = SearchWork {
            sensitivities: job.sensitivities(),
            latency: job.latency_table(Stage::Search)?.cloned().map(Box::new),
        };
        let inputs = import::network().into_iter().chain(job.importance()).chain(job.encoder_file());
        Ok(PlannedTask::only(Work::Search(work), inputs))
    }

    fn files(_work: &SearchWork) -> Vec<String> {
        vec![CANDIDATES.to_owned()]
    }

    #[cfg(any(test, feature = "testing"))]
    fn sample(_work: &SearchWork) -> SearchResult {
        let candidate = |index| CandidateCosts {
            index,
            origin: crate::configuration::Origin::Uniform,
            configuration: format!("configuration {index}"),
            costs: crate::cost::Costs { macs: 100, params: 10, channels: 4, latency_ms: None },
            reduction: 0.5,
            widths: vec![4],
            similarity: None,
            predicted_divergence: None,
            predicted_value: None,
        };
        SearchResult { candidates: (0..2).map(candidate).collect(), search: None }
    }
}

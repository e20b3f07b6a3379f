//! The stage `inspect`, the only one of an inspection: import and analysis of a model, of which a summary is kept.

use serde::{Deserialize, Serialize};

use super::definition::Definition;
use super::job::{JobView, PlanError, PlannedTask};
use super::measurement::Measurements;
use super::{Work, graph, import};
use crate::cost::Costs;
use crate::sandbox::Profile;
use crate::spec::{InspectionSpec, JobSpec};

/// The stage.
pub struct Inspect;

/// What an inspection found out, beside the summary.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct InspectResult {
    /// Costs of the network.
    pub base: Costs,
    /// Groups that can be cut.
    pub groups: usize,
}

/// The task of an inspection.
pub fn task(inspection: InspectionSpec) -> PlannedTask {
    PlannedTask { index: 0, work: Work::Inspect(inspection), inputs: vec![import::model()] }
}

impl Definition for Inspect {
    type Work = InspectionSpec;
    type Result = InspectResult;

    const PROFILE: Profile = Profile::Import;

    /// A job that prunes has none; an inspection has [`task`].
    fn is_part_of(_spec: &JobSpec, _has_dataset: bool) -> bool {
        false
    }

    fn plan(_job: JobView<'_>, _reused: &Measurements) -> Result<Vec<PlannedTask>, PlanError> {
        Ok(Vec::new())
    }

    fn files(_work: &InspectionSpec) -> Vec<String> {
        vec![graph::SUMMARY.to_owned()]
    }

    #[cfg(any(test, feature = "testing"))]
    fn sample(_work: &InspectionSpec) -> InspectResult {
        InspectResult { base: Costs { macs: 100, params: 10, channels: 4, latency_ms: None }, groups: 1 }
    }
}

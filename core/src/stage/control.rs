//! The stage `control`: what it is worth to choose channels by importance, measured against random channels at the same widths.
//!
//! `sacp` trains its encoder to tell the two apart, so a job with it says whether that difference means anything, as long as
//! the experiment costs at most [`SHARE`] of what the job has cost before. `diagnostics: true` asks for it with any method, and then
//! it is made whatever it costs.

use serde::{Deserialize, Serialize};

use super::definition::Definition;
use super::job::{JobView, PlanError, PlannedTask};
use super::measurement::Measurements;
use super::screen::ScreenResult;
use super::{Stage, Work, import, search};
use crate::configuration::Origin;
use crate::recovery::ChannelChoice;
use crate::spec::{JobSpec, Method};

/// The share of a job's computing time that the experiment may take where nobody asked for it.
pub const SHARE: f64 = 0.05;

/// The stage.
pub struct Control;

/// What a task compares.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ControlWork {
    /// The candidate at whose widths channels are chosen.
    pub candidate: usize,
    /// Seconds after which no further network is measured; `None` for no end.
    #[serde(default)]
    pub seconds: Option<f64>,
}

/// What was compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ControlResult {
    /// `None` when the time was over before there were enough draws.
    pub channel_choice: Option<ChannelChoice>,
}

impl<'a> JobView<'a> {
    /// Whose widths are tried with other channels: the uniform baseline's, since those depend on no ranking.
    fn compared_candidate(self) -> Option<usize> {
        let proposed = self.proposed()?;
        let uniform = proposed.iter().find(|candidate| candidate.origin == Origin::Uniform);
        uniform.or(proposed.first()).map(|candidate| candidate.index)
    }

    /// Seconds that the experiment will about take: of one screened network, for every network that is measured at least.
    fn expected_seconds(self) -> Option<f64> {
        let of_screen = self.finished.iter().filter(|task| task.stage == Stage::Screen);
        let seconds: f64 = of_screen.map(|task| task.time.running).sum();
        let networks: usize =
            self.results::<ScreenResult>(Stage::Screen).map(|(_, result)| result.screened.len()).sum();
        let needed = ChannelChoice::LEAST_DRAWS + 2;
        (networks > 0).then(|| seconds / networks as f64 * needed as f64)
    }

    /// What the experiment found; `None` when none was made.
    pub(super) fn channel_choice(self) -> Option<&'a ChannelChoice> {
        self.result::<ControlResult>(Stage::Control)?.channel_choice.as_ref()
    }
}

impl Definition for Control {
    type Work = ControlWork;
    type Result = ControlResult;

    fn is_part_of(spec: &JobSpec, has_dataset: bool) -> bool {
        has_dataset && (spec.method == Method::Sacp || spec.diagnostics)
    }

    /// No task where the experiment would take too long.
    fn plan(job: JobView<'_>, _reused: &Measurements) -> Result<Vec<PlannedTask>, PlanError> {
        let candidate = job.compared_candidate().ok_or(PlanError { stage: Stage::Control, missing: "search" })?;
        let seconds = if job.spec.diagnostics {
            None
        } else {
            let affordable = SHARE * job.seconds();
            if job.expected_seconds().is_none_or(|expected| expected > affordable) {
                return Ok(Vec::new());
            }
            Some(affordable)
        };
        let inputs = import::network().into_iter().chain(job.importance()).chain([search::candidates()]);
        Ok(PlannedTask::only(Work::Control(ControlWork { candidate, seconds }), inputs.chain(job.dataset())))
    }

    fn files(_work: &ControlWork) -> Vec<String> {
        Vec::new()
    }

    #[cfg(any(test, feature = "testing"))]
    fn sample(_work: &ControlWork) -> ControlResult {
        ControlResult { channel_choice: None }
    }
}

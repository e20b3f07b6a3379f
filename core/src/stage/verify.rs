//! The stage `verify`: the written file in a process that never saw the network: reloaded, compared, timed, reported.

use serde::{Deserialize, Serialize};

use super::definition::Definition;
use super::export::{self, ExportResult};
use super::import::{self, ImportResult};
use super::job::{Input, JobView, PlanError, PlannedTask};
use super::latency::LatencyResult;
use super::measurement::Measurements;
use super::{Stage, Work, search};
use crate::configuration::CandidateCosts;
use crate::recovery::{Rated, Screened, TuneResult};
use crate::report::{
    CandidateReport, Exported, History, Original, Report, StageDevices, StageSeconds, StageTime, StageTimes, Training,
    join,
};

/// The report ([`Report`]).
pub const REPORT: &str = "report.json";

/// The stage.
pub struct Verify;

/// What the report is made of, beside what the task itself finds out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VerifyWork {
    /// What the stages before have found out.
    pub history: Box<History>,
}

/// What the job comes to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VerifyResult {
    /// The content of REPORT.
    pub report: Box<Report>,
}

impl JobView<'_> {
    /// Every candidate that was proposed, with what has been measured of it so far.
    pub fn candidates(self) -> Vec<CandidateReport> {
        let proposed: Vec<&CandidateCosts> = self.proposed().unwrap_or_default().iter().collect();
        let screened: Vec<&Screened> = self.screened().into_iter().map(|(_, screened)| screened).collect();
        let of_rung = |rung| self.rated(rung).into_iter().map(|(_, rated)| rated).collect::<Vec<&Rated>>();
        let tuned: Vec<&TuneResult> = self.tuned().into_iter().map(|(_, tuned)| tuned).collect();
        join(&proposed, &screened, &of_rung(Stage::Repair), &of_rung(Stage::LightTune), &tuned)
    }

    /// Every training of a candidate, stage by stage.
    fn trained(self) -> Vec<Training> {
        let Some(settings) = &self.spec.fine_tune else { return Vec::new() };
        let training =
            |stage: Stage, candidate, epochs| Training { stage: stage.as_str().to_owned(), candidate, epochs };
        let of_rung = |rung, epochs: f64| {
            self.rated(rung).into_iter().map(move |(_, rated)| training(rung, rated.candidate, epochs))
        };
        let samples = self.data_report().map_or(1, |data| data.samples.train.max(1)) as f64;
        let steps = self.steps_of(Stage::Repair).unwrap_or(0) as f64;
        // The last batch of a pass may be a smaller one.
        let repair = (steps * settings.batch_size.get() as f64 / samples).min(1.0);
        let tuned = self.tuned().into_iter();
        let tuned = tuned.map(|(_, tuned)| training(Stage::Tune, tuned.candidate, tuned.epochs.len() as f64));
        of_rung(Stage::Repair, repair)
            .chain(of_rung(Stage::LightTune, f64::from(settings.light_epochs)))
            .chain(tuned)
            .collect()
    }

    fn history(self) -> Option<History> {
        let import: &ImportResult = self.result(Stage::Import)?;
        let export: &ExportResult = self.result(Stage::Export)?;
        let (mut seconds, mut times, mut devices) = (StageSeconds::new(), StageTimes::new(), StageDevices::new());
        for task in self.finished {
            let stage = task.stage.as_str().to_owned();
            if task.stage != Stage::Judge {
                devices.entry(stage.clone()).or_default().insert(task.device.clone());
            }
            *seconds.entry(stage.clone()).or_default() += task.time.running;
            let StageTime { waiting, setting_up, computing } = times.entry(stage).or_default();
            *waiting += task.time.waiting;
            *computing += task.time.computing;
            *setting_up += (task.time.running - task.time.computing).max(0.0);
        }
        let latency: Option<&LatencyResult> = self.result(Stage::Latency);
        Some(History {
            original: Original {
                bytes: import.bytes,
                sha256: import.sha256.clone(),
                accuracy: self.original_accuracy(),
                max_abs_diff: import.max_abs_diff,
                data: self.data_report().cloned(),
            },
            latency: latency.map(|result| result.table.clone()),
            encoder: self.encoder().cloned(),
            search: self.search_report().cloned(),
            proposed: self.proposed().unwrap_or_default().to_vec(),
            repair_steps: self.steps_of(Stage::Repair),
            repaired: self.rated(Stage::Repair).into_iter().map(|(_, rated)| rated.clone()).collect(),
            lightly_tuned: self.rated(Stage::LightTune).into_iter().map(|(_, rated)| rated.clone()).collect(),
            screened: self.screened().into_iter().map(|(_, screened)| screened.clone()).collect(),
            trained: self.trained(),
            tuned: self.tuned().into_iter().map(|(_, tuned)| tuned.clone()).collect(),
            channel_choice: self.channel_choice().cloned(),
            judgement: self.judgement().cloned(),
            winner: export.candidate,
            exported: Exported {
                bytes: export.pruned_bytes,
                accuracy: export.accuracy,
                metric: export.metric.as_deref().cloned(),
                export: export.export.clone(),
                sizes: export.sizes.as_deref().cloned(),
            },
            seconds,
            times,
            devices,
            reused: self.reused.counts(),
        })
    }
}

impl Definition for Verify {
    type Work = VerifyWork;
    type Result = VerifyResult;

    const TIMES_NETWORKS: bool = true;

    fn plan(job: JobView<'_>, _reused: &Measurements) -> Result<Vec<PlannedTask>, PlanError> {
        let missing = PlanError { stage: Stage::Verify, missing: "import, screen or export" };
        let history = Box::new(job.history().ok_or(missing)?);
        let written = [export::PRUNED_MODEL, export::BASE_MODEL, export::PROBES];
        let inputs = [Input::output(Stage::Import, 0, import::GRAPH), search::candidates()];
        let inputs = inputs.into_iter().chain(written.map(|name| Input::output(Stage::Export, 0, name)));
        Ok(PlannedTask::only(Work::Verify(VerifyWork { history }), inputs))
    }

    fn files(_work: &VerifyWork) -> Vec<String> {
        vec![REPORT.to_owned()]
    }

    #[cfg(any(test, feature = "testing"))]
    fn sample(_work: &VerifyWork) -> VerifyResult {
        VerifyResult { report: Box::new(Report::sample()) }
    }
}

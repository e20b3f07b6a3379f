//! `/v1/jobs/{id}/judgements`: the finalists of a job that has a judge outside, and the scores that it posts.

pub(super) mod list;
pub(super) mod post;

use std::collections::HashMap;

use secateur_core::configuration::Origin;
use secateur_core::recovery::{DecidedBy, JudgeScore};
use secateur_core::report::CandidateReport;
use secateur_core::spec::JudgeSpec;
use secateur_core::stage::Stage;
use secateur_core::stage::finalists::finalist_model;
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::http::App;
use crate::http::answer::problem::Problem;
use crate::http::request::id::not_found;
use crate::id::JobId;
use crate::table::artifact::{self, Artifact};
use crate::table::task::waiting::{self, JudgeTask};
use crate::table::task::{self, TaskState};
use crate::table::{job, judgement};

/// Where a judgement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum JudgementState {
    /// The spec has no `judge`: the job's own metric chooses.
    NoJudge,
    /// The finalists are not there yet.
    NotAsked,
    /// Scores are waited for.
    Open,
    /// The network was chosen.
    Decided,
    /// The job was cancelled or failed before that.
    Ended,
}

/// A judgement and its finalists.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Judgements)]
pub(super) struct JudgementsOut {
    state: JudgementState,
    /// What the judge measures, as the spec names it.
    name: Option<String>,
    /// Whether the greater score is the better one; `null` without a judge.
    higher_is_better: Option<bool>,
    /// Once it was asked for.
    #[serde(with = "time::serde::rfc3339::option")]
    asked_at: Option<OffsetDateTime>,
    /// When the job's own metric chooses, unless every finalist has a score.
    #[serde(with = "time::serde::rfc3339::option")]
    deadline: Option<OffsetDateTime>,
    /// The best by the job's own metric first.
    finalists: Vec<FinalistOut>,
    /// Once it is decided.
    decided_by: Option<DecidedBy>,
    /// Why it was not the judge, a sentence.
    reason: Option<String>,
    /// The candidate that is exported, once it is decided.
    winner: Option<usize>,
}

/// A network that a judge is asked about.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Finalist)]
struct FinalistOut {
    /// What a score names it by.
    candidate: usize,
    /// The method or ranking that proposed it.
    #[schema(value_type = String)]
    origin: Origin,
    /// Multiply-accumulates of one sample.
    macs: u64,
    /// Elements of all parameters.
    params: u64,
    /// Share removed of the target's metric.
    reduction: f64,
    /// By the job's latency table; with a latency target only.
    #[serde(skip_serializing_if = "Option::is_none")]
    predicted_latency_ms: Option<f64>,
    /// The job's own metric on the validation split: accuracy; `null` without labels.
    val_accuracy: Option<f64>,
    /// Without labels: how true the network is to the original on the validation split.
    #[serde(skip_serializing_if = "Option::is_none")]
    val_metric: Option<f64>,
    /// Where its TorchScript archive can be downloaded.
    url: String,
    bytes: u64,
    /// Of the archive, hexadecimal.
    sha256: String,
    /// The judge's; `null` before it was posted.
    score: Option<f64>,
}

impl JudgementsOut {
    async fn find(app: &App, id: JobId) -> Result<Self, Problem> {
        let pool = app.database.pool();
        let job = job::find(pool, id).await?.ok_or_else(|| not_found::<JobId>(id))?;
        let Some((spec, judge)) = job.order.spec().and_then(|spec| Some((spec, spec.judge.as_ref()?))) else {
            return Ok(Self::without(JudgementState::NoJudge, None));
        };
        let Some(asked) = waiting::judge_task(pool, id).await? else {
            let state = if job.status.is_final() { JudgementState::Ended } else { JudgementState::NotAsked };
            return Ok(Self::without(state, Some(judge)));
        };
        let finished = task::finished(pool, id).await?;
        let candidates = job.view(spec, &finished).candidates();
        let given = judgement::list(pool, id).await?;
        let files = artifact::list(pool, id).await?;
        let files: HashMap<&str, &Artifact> =
            files.iter().filter(|file| file.stage == Stage::Finalists).map(|file| (file.name.as_str(), file)).collect();
        let finalist = |&candidate: &usize| {
            let report = candidates.iter().find(|report| report.index == candidate)?;
            let name = finalist_model(candidate);
            Some(FinalistOut::of(id, report, files.get(name.as_str())?, &given))
        };
        let finalists = asked.work.finalists.iter().filter_map(finalist).collect();
        let judgement = asked.judgement.as_ref();
        Ok(Self {
            state: state(&asked),
            asked_at: Some(asked.asked_at),
            deadline: Some(asked.deadline),
            finalists,
            decided_by: judgement.map(|judgement| judgement.decided_by),
            reason: judgement.and_then(|judgement| judgement.reason.clone()),
            winner: judgement.and(job.view(spec, &finished).best()).map(|(_, candidate)| candidate),
            ..Self::without(JudgementState::Open, Some(judge))
        })
    }

    /// One that was not asked for.
    fn without(state: JudgementState, judge: Option<&JudgeSpec>) -> Self {
        Self {
            state,
            name: judge.and_then(|judge| judge.name.clone()),
            higher_is_better: judge.map(|judge| judge.higher_is_better),
            asked_at: None,
            deadline: None,
            finalists: Vec::new(),
            decided_by: None,
            reason: None,
            winner: None,
        }
    }
}

impl FinalistOut {
    fn of(id: JobId, report: &CandidateReport, file: &Artifact, given: &[JudgeScore]) -> Self {
        let score = given.iter().find(|score| score.candidate == report.index);
        Self {
            candidate: report.index,
            origin: report.origin,
            macs: report.macs,
            params: report.params,
            reduction: report.reduction,
            predicted_latency_ms: report.predicted_latency_ms,
            val_accuracy: report.tuned_accuracy.or(report.screened_accuracy),
            val_metric: report.tuned_metric.or(report.screened_metric),
            url: format!("/v1/jobs/{id}/artifacts/{}", file.name),
            bytes: file.bytes,
            sha256: file.sha256.to_string(),
            score: score.map(|score| score.score),
        }
    }
}

fn state(asked: &JudgeTask) -> JudgementState {
    match asked.state {
        TaskState::Succeeded => JudgementState::Decided,
        TaskState::Cancelled | TaskState::Failed => JudgementState::Ended,
        TaskState::Queued | TaskState::Held | TaskState::Running | TaskState::Waiting => JudgementState::Open,
    }
}

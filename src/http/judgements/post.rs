//! `POST /v1/jobs/{id}/judgements`

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Request, State};
use secateur_core::recovery::JudgeScore;
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::JudgementsOut;
use crate::access::{Caller, Scope};
use crate::http::App;
use crate::http::answer::problem::{Code, Problem, ProblemDocument};
use crate::http::answer::quote::{LONGEST_VALUE, cut};
use crate::http::request::body::{parse_json, read_body};
use crate::http::request::id::{Own, not_found};
use crate::id::JobId;
use crate::queue::Judging;

/// What a judge says of one finalist.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ScoreIn)]
pub(crate) struct ScoreIn {
    /// The finalist.
    #[schema(example = 3)]
    #[allow(dead_code, reason = "only described: the fields are taken out of the JSON by hand")]
    candidate: usize,
    /// A finite number.
    #[schema(example = 0.412)]
    #[allow(dead_code, reason = "only described")]
    score: f64,
}

/// Score a finalist. Another score takes the place of an earlier one while the judgement is open; with the last finalist's it ends.
#[utoipa::path(post, path = "/v1/jobs/{id}/judgements", operation_id = "post_judgement", tag = "jobs",
    params(("id" = String, Path)),
    request_body = ScoreIn,
    responses(
        (status = 200, body = JudgementsOut),
        (status = 400, body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "`no_judge`, `judgement_not_asked` or `judgement_over`",
         body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "`invalid_score` or `not_a_finalist`",
         body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub(crate) async fn post(
    State(app): State<App>,
    caller: Caller,
    Own(id): Own<JobId>,
    request: Request,
) -> Result<Json<JudgementsOut>, Problem> {
    caller.require(Scope::Submit)?;
    let score = parse(&read_body(request.into_body()).await?)?;
    let candidate = score.candidate;
    match app.queue.judge(id, score).await? {
        Judging::Recorded => Ok(Json(JudgementsOut::find(&app, id).await?)),
        Judging::Over(why) => {
            let detail = format!("The judgement of job `{id}` is over. {why}");
            Err(Problem::new(Code::JudgementOver, detail))
        }
        Judging::NotAsked(stage) => {
            let stage = stage.as_str();
            let detail =
                format!("Job `{id}` is at the stage `{stage}`: its finalists are judged at the stage `judge`.");
            Err(Problem::new(Code::JudgementNotAsked, detail)
                .hint("The event `judgement_asked` tells when they are there."))
        }
        Judging::NoFinalist(finalists) => {
            let allowed = finalists.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
            let detail = format!("Candidate {candidate} is no finalist of job `{id}`: the finalists are {allowed}.");
            Err(Problem::new(Code::NotAFinalist, detail).member("finalists", finalists))
        }
        Judging::NoJudge => {
            let detail = format!("Job `{id}` has no judge: its own metric chooses.");
            Err(Problem::new(Code::NoJudge, detail).hint("`judge` in the job spec asks for one."))
        }
        Judging::NoSuchJob => Err(not_found::<JobId>(id)),
    }
}

/// What programs write that take numbers for JSON which are none.
const NOT_JSON: [&str; 3] = ["-Infinity", "Infinity", "NaN"];

fn parse(body: &[u8]) -> Result<JudgeScore, Problem> {
    let mut fields: BTreeMap<String, &RawValue> = parse_json(body).map_err(|problem| {
        let text = String::from_utf8_lossy(body);
        match NOT_JSON.into_iter().find(|word| text.contains(word)) {
            Some(word) => {
                let detail =
                    format!("The body is not valid JSON: it has the value {word}. A score must be a finite number.");
                Problem::new(Code::InvalidJson, detail)
            }
            None => problem,
        }
    })?;
    let candidate = take(&mut fields, "candidate", "the index of a finalist, a whole number")?;
    let score = take(&mut fields, "score", "a finite number")?;
    match fields.into_keys().next() {
        Some(unknown) => {
            let unknown = cut(&unknown, LONGEST_VALUE);
            let detail = format!("`{unknown}` is not a field of a score: `candidate` and `score` are.");
            Err(Problem::new(Code::InvalidScore, detail))
        }
        None => Ok(JudgeScore { candidate, score }),
    }
}

/// A field of the body; `allowed` completes the sentence "it must be …".
fn take<T: for<'a> Deserialize<'a>>(
    fields: &mut BTreeMap<String, &RawValue>,
    name: &str,
    allowed: &str,
) -> Result<T, Problem> {
    let invalid = |what: String| Problem::new(Code::InvalidScore, format!("`{name}` {what}: it must be {allowed}."));
    let raw = fields.remove(name).ok_or_else(|| invalid("is missing".to_owned()))?;
    serde_json::from_str(raw.get()).map_err(|_| invalid(format!("is {}", cut(raw.get(), LONGEST_VALUE))))
}

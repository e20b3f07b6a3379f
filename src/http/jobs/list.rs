//! `GET /v1/jobs`

use axum::Json;
use axum::extract::State;

use super::{JobOut, JobPage};
use crate::access::Caller;
use crate::http::App;
use crate::http::answer::problem::{Problem, ProblemDocument};
use crate::http::request::page::PageRequest;
use crate::http::request::parameters::Parameters;
use crate::job::JobStatus;
use crate::table::job::{self, Filter, LabelFilter};

/// Jobs, newest first.
#[utoipa::path(get, path = "/v1/jobs", operation_id = "list_jobs", tag = "jobs",
    params(
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 200, description = "Items of a page, 50 by default"),
        ("after" = Option<String>, Query, description = "`next` of the page before"),
        ("status" = Option<JobStatus>, Query, description = "Only jobs with this status"),
        ("label" = Option<String>, Query, example = "team:vision",
         description = "Only jobs with this label: `key:value`, or `key` for any value"),
    ),
    responses(
        (status = 200, body = JobPage),
        (status = 400, body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    parameters: Parameters,
) -> Result<Json<JobPage>, Problem> {
    let page = PageRequest::of(&parameters)?;
    let allowed = JobStatus::ALL.map(|status| format!("`{}`", status.as_str())).join(", ");
    let status = parameters.get("status", JobStatus::parse, &format!("one of {allowed}"))?;
    let label = parameters.get("label", LabelFilter::parse, "`key` or `key:value`")?;
    let filter = Filter { tenant: caller.tenant, status, label, before: page.after };
    let jobs = job::list(app.database.pool(), &filter, page.to_fetch()).await?;
    let (jobs, next) = page.cut(jobs, |job| job.id);
    Ok(Json(JobPage { items: JobOut::of(&app, jobs).await?, next }))
}

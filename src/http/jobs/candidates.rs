//! `/v1/jobs/{id}/candidates`: every configuration that a job proposed, with what has been measured of it so far.

use axum::Json;
use axum::extract::State;
use secateur_core::report::CandidateReport;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::App;
use crate::http::answer::problem::{Problem, ProblemDocument};
use crate::http::request::id::{Own, not_found};
use crate::http::request::page::PageRequest;
use crate::http::request::parameters::Parameters;
use crate::id::JobId;
use crate::table::{job, task};

/// A page of candidates, by index.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CandidatePage {
    pub items: Vec<CandidateReport>,
    /// `after` of the next page; `null` on the last.
    pub next: Option<usize>,
}

/// Every configuration that was proposed: costs, similarity, accuracy screened and tuned.
#[utoipa::path(get, path = "/v1/jobs/{id}/candidates", operation_id = "list_candidates", tag = "jobs",
    params(
        ("id" = String, Path),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 200, description = "Items of a page, 50 by default"),
        ("after" = Option<u64>, Query, description = "`next` of the page before"),
    ),
    responses(
        (status = 200, body = CandidatePage),
        (status = 400, body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub(crate) async fn list(
    State(app): State<App>,
    Own(id): Own<JobId>,
    parameters: Parameters,
) -> Result<Json<CandidatePage>, Problem> {
    let page = PageRequest::<usize>::by(&parameters, "the index of a candidate")?;
    let pool = app.database.pool();
    let job = job::find(pool, id).await?.ok_or_else(|| not_found::<JobId>(id))?;
    let finished = task::finished(pool, id).await?;
    // An inspection tries none.
    let candidates = job.order.spec().map(|spec| job.view(spec, &finished).candidates()).unwrap_or_default();
    let later = |candidate: &CandidateReport| page.after.is_none_or(|after| candidate.index > after);
    let (items, next) = page.cut(candidates.into_iter().filter(later).collect(), |candidate| candidate.index);
    Ok(Json(CandidatePage { items, next }))
}

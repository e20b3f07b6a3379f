//! `/v1/jobs/{id}/events`: a page of JSON, or a stream of server-sent events.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{Stream, stream};
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::access::Caller;
use crate::database::{DatabaseError, Subscription, Wakeup};
use crate::http::App;
use crate::http::answer::problem::{Problem, ProblemDocument};
use crate::http::request::id::Own;
use crate::http::request::page;
use crate::http::request::parameters::{Parameters, header_text};
use crate::id::JobId;
use crate::job::Event;
use crate::table::event::{self, EventRow};
use crate::table::job;

/// A stream looks by itself this often, in case a hint was lost.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const STREAM_PAGE: i64 = 200;

/// Something that happened to a job.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Event)]
pub(crate) struct EventOut {
    /// Rises by one with every event of a job.
    id: i64,
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
    #[serde(flatten)]
    event: Event,
}

/// A page of events, oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventPage {
    items: Vec<EventOut>,
    /// `after` of the next page; also on the last one, for later events.
    next: i64,
}

impl From<EventRow> for EventOut {
    fn from(row: EventRow) -> Self {
        Self { id: row.seq, at: row.at, event: row.event }
    }
}

/// What happened to a job, oldest first; a stream with `Accept: text/event-stream`.
#[utoipa::path(get, path = "/v1/jobs/{id}/events", operation_id = "list_events", tag = "jobs",
    params(
        ("id" = String, Path),
        ("after" = Option<i64>, Query, minimum = 0, description = "The id of the last event that is known"),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 200, description = "Items of a page, 50 by default"),
        ("last-event-id" = Option<i64>, Header, description = "Where a stream resumes"),
    ),
    responses(
        (status = 200, content((EventPage = "application/json"), (String = "text/event-stream"))),
        (status = 404, body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Own(id): Own<JobId>,
    parameters: Parameters,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let parse = |text: &str| text.parse().ok().filter(|after: &i64| *after >= 0);
    let allowed = "the id of an event, a whole number";
    let after = parameters.get("after", parse, allowed)?.unwrap_or(0);
    let limit = page::limit(&parameters)?;
    let pool = app.database.pool();
    if wants_stream(&headers) {
        let after = match header_text(&headers, header::HeaderName::from_static("last-event-id"))? {
            Some(text) => parse(text).ok_or_else(|| Problem::invalid_parameter("last-event-id", text, allowed))?,
            None => after,
        };
        let stream = Sse::new(follow(app, caller, id, after)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
        return Ok(stream.into_response());
    }
    let rows = event::list(pool, id, after, limit).await?;
    let next = rows.last().map_or(after, |row| row.seq);
    Ok(Json(EventPage { items: rows.into_iter().map(EventOut::from).collect(), next }).into_response())
}

fn wants_stream(headers: &HeaderMap) -> bool {
    headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.split(',').any(|kind| kind.trim().starts_with("text/event-stream")))
}

struct Follower {
    app: App,
    caller: Caller,
    job: JobId,
    after: i64,
    hints: Subscription,
    ended: bool,
}

/// Events as they come, until the job's last one, or until the caller's key is revoked. When the database goes away the stream ends; the client resumes.
fn follow(app: App, caller: Caller, job: JobId, after: i64) -> impl Stream<Item = Result<SseEvent, DatabaseError>> {
    let hints = app.notifications.subscribe();
    let follower = Follower { app, caller, job, after, hints, ended: false };
    let pages = stream::try_unfold(follower, |mut follower| async move {
        loop {
            if follower.ended {
                return Ok::<_, DatabaseError>(None);
            }
            let pool = follower.app.database.pool();
            let rows = event::list(pool, follower.job, follower.after, STREAM_PAGE).await?;
            if let Some(last) = rows.last() {
                follower.after = last.seq;
                follower.ended = last.event.is_final();
                return Ok(Some((stream::iter(rows.into_iter().map(to_sse)), follower)));
            }
            // The last event may be behind the one that the client has, and a deleted job has none.
            let status = job::status(pool, follower.job).await?;
            if status.is_none_or(|status| status.is_final()) || follower.app.draining.is_cancelled() {
                return Ok(None);
            }
            let job = follower.job;
            let hint = follower.hints.wait(LOOK_AGAIN, |wakeup| wakeup == Wakeup::Job(job));
            let _ = follower.app.draining.run_until_cancelled(hint).await;
            if !follower.app.access.is_still_let_in(&follower.caller).await? {
                return Ok(None);
            }
        }
    });
    futures::TryStreamExt::try_flatten(pages)
}

fn to_sse(row: EventRow) -> Result<SseEvent, DatabaseError> {
    let id = row.seq.to_string();
    let event = EventOut::from(row);
    let json = serde_json::to_value(&event).expect("an event has string keys");
    let kind = json["type"].as_str().expect("an event is tagged with its type").to_owned();
    Ok(SseEvent::default().id(id).event(kind).data(json.to_string()))
}

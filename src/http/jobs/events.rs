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
use crate::event_feed::FeedLost;
use crate::http::App;
use crate::http::answer::problem::{Problem, ProblemDocument};
use crate::http::request::id::Own;
use crate::http::request::page;
use crate::http::request::parameters::{Parameters, header_text};
use crate::id::JobId;
use crate::job::Event;
use crate::table::event::{self, EventRow};

/// A stream on which nothing comes looks this often whether its caller is still let in.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
const KEEP_ALIVE: Duration = Duration::from_secs(15);

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

/// Events as they come, until the job's last one, or until the caller's key is revoked. When the database goes away the stream ends; the client resumes.
fn follow(app: App, caller: Caller, job: JobId, after: i64) -> impl Stream<Item = Result<SseEvent, FeedLost>> {
    let follower = app.event_feeds.follow(job, after);
    let batches = stream::try_unfold((app, caller, follower), |(app, caller, mut follower)| async move {
        loop {
            let next = tokio::time::timeout(LOOK_AGAIN, follower.next());
            let Some(next) = app.draining.run_until_cancelled(next).await else { return Ok(None) };
            let is_let_in = app.access.is_still_let_in(&caller).await.map_err(|error| {
                tracing::debug!(%error, "whether a key is in force cannot be looked up");
                FeedLost
            })?;
            if !is_let_in {
                return Ok(None);
            }
            let Ok(next) = next else { continue };
            return Ok(next?.map(|events| {
                let events: Vec<_> = events.iter().map(|row| Ok(to_sse(row))).collect();
                (stream::iter(events), (app, caller, follower))
            }));
        }
    });
    futures::TryStreamExt::try_flatten(batches)
}

fn to_sse(row: &EventRow) -> SseEvent {
    let event = EventOut::from(row.clone());
    let json = serde_json::to_value(&event).expect("an event has string keys");
    let kind = json["type"].as_str().expect("an event is tagged with its type");
    SseEvent::default().id(event.id.to_string()).event(kind).data(json.to_string())
}

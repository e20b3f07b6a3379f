//! The events of the jobs that somebody follows, read once for all who follow.
//!
//! A job that a thousand clients follow would cost a thousand queries with every event. Here one reader a job waits for hints, reads what is
//! new, and its followers take it from memory. It keeps the last [`KEPT`] events; a follower who is further behind reads pages of the table
//! until it has caught up. The reader lives for as long as somebody follows.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::database::{Database, DatabaseError, Notifications, Wakeup};
use crate::id::JobId;
use crate::table::event::{self, EventRow};
use crate::table::job;

/// Events of a job that are kept in memory, and the most that are read at once.
const KEPT: usize = 200;
/// A reader looks by itself this often, in case a hint was lost.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// The feeds of a process; clones share them.
#[derive(Debug, Clone)]
pub struct EventFeeds {
    database: Database,
    notifications: Notifications,
    open: Arc<Mutex<HashMap<JobId, Weak<Feed>>>>,
}

/// One job's reader and what it has read.
#[derive(Debug)]
struct Feed {
    latest: watch::Receiver<Latest>,
    _reader: AbortOnDropHandle<()>,
}

/// The last events of a job, in order and without a gap.
#[derive(Debug, Clone, Default)]
struct Latest {
    events: Arc<[Arc<EventRow>]>,
    reading: Reading,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Reading {
    #[default]
    NotYet,
    GoesOn,
    /// The job has ended, or is not there any more: nothing will come.
    HasEnded,
    /// The database went away.
    Failed,
}

/// The events could not be read; a client resumes where it was.
#[derive(Debug, thiserror::Error)]
#[error("the events of the job cannot be read at the moment")]
pub struct FeedLost;

/// What a follower finds when it looks.
enum Found {
    Events(Vec<Arc<EventRow>>),
    /// The next ones are not in memory any more.
    FurtherBack,
    Nothing(Reading),
}

/// One follower's place in the events of a job.
#[derive(Debug)]
pub struct Follower {
    database: Database,
    job: JobId,
    /// The number of the last event that it has.
    after: i64,
    /// Its reader ends with the last follower.
    _feed: Arc<Feed>,
    latest: watch::Receiver<Latest>,
}

impl EventFeeds {
    pub fn new(database: Database, notifications: Notifications) -> Self {
        Self { database, notifications, open: Arc::default() }
    }

    /// Follows a job from behind the event with the number `after`.
    pub fn follow(&self, job: JobId, after: i64) -> Follower {
        let feed = self.feed(job);
        let latest = feed.latest.clone();
        Follower { database: self.database.clone(), job, after, _feed: feed, latest }
    }

    fn feed(&self, job: JobId) -> Arc<Feed> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let standing = open.get(&job).and_then(Weak::upgrade);
        if let Some(feed) = standing.filter(|feed| feed.latest.borrow().reading != Reading::Failed) {
            return feed;
        }
        open.retain(|_, feed| feed.strong_count() > 0);
        let (sender, latest) = watch::channel(Latest::default());
        let reader = tokio::spawn(read(self.database.clone(), self.notifications.clone(), job, sender));
        let feed = Arc::new(Feed { latest, _reader: AbortOnDropHandle::new(reader) });
        open.insert(job, Arc::downgrade(&feed));
        feed
    }
}

impl Follower {
    /// Some events that follow those it has, as soon as there are any; `None` when no more will come.
    pub async fn next(&mut self) -> Result<Option<Vec<Arc<EventRow>>>, FeedLost> {
        loop {
            // In a statement of its own, since the guard may not be held over an await.
            let found = self.latest.borrow_and_update().behind(self.after);
            let events = match found {
                Found::Events(events) => events,
                Found::FurtherBack => {
                    let rows = event::list(self.database.pool(), self.job, self.after, KEPT as i64).await;
                    let rows = rows.map_err(|error| lost(self.job, &error))?;
                    // None of a job that was deleted meanwhile.
                    if rows.is_empty() {
                        return Ok(None);
                    }
                    rows.into_iter().map(Arc::new).collect()
                }
                Found::Nothing(Reading::HasEnded) => return Ok(None),
                Found::Nothing(Reading::Failed) => return Err(FeedLost),
                Found::Nothing(Reading::NotYet | Reading::GoesOn) => {
                    self.latest.changed().await.map_err(|_| FeedLost)?;
                    continue;
                }
            };
            self.after = events.last().map_or(self.after, |last| last.seq);
            return Ok(Some(events));
        }
    }
}

impl Latest {
    fn behind(&self, after: i64) -> Found {
        let (Some(first), Some(last)) = (self.events.first(), self.events.last()) else {
            return Found::Nothing(self.reading);
        };
        if last.seq <= after {
            Found::Nothing(self.reading)
        } else if first.seq > after + 1 {
            Found::FurtherBack
        } else {
            Found::Events(self.events.iter().filter(|event| event.seq > after).cloned().collect())
        }
    }
}

/// Reads a job's events as they come, until nothing more can come.
async fn read(database: Database, notifications: Notifications, job: JobId, sender: watch::Sender<Latest>) {
    let mut hints = notifications.subscribe();
    let mut events: Vec<Arc<EventRow>> = Vec::new();
    loop {
        let reading = match look(&database, job, &mut events).await {
            Ok(reading) => reading,
            Err(error) => {
                lost(job, &error);
                Reading::Failed
            }
        };
        sender.send_if_modified(|latest| {
            let is_news = latest.reading != reading || latest.events.last().map(|last| last.seq) != last_seq(&events);
            if is_news {
                *latest = Latest { events: events.as_slice().into(), reading };
            }
            is_news
        });
        if matches!(reading, Reading::HasEnded | Reading::Failed) {
            return;
        }
        hints.wait(LOOK_AGAIN, |wakeup| wakeup == Wakeup::Job(job)).await;
    }
}

/// Adds what is new to the last events.
async fn look(database: &Database, job: JobId, events: &mut Vec<Arc<EventRow>>) -> Result<Reading, DatabaseError> {
    let pool = database.pool();
    loop {
        let rows = match last_seq(events) {
            None => event::latest(pool, job, KEPT as i64).await?,
            Some(last) => event::list(pool, job, last, KEPT as i64).await?,
        };
        let is_full = rows.len() == KEPT && !events.is_empty();
        let has_news = !rows.is_empty();
        events.extend(rows.into_iter().map(Arc::new));
        events.drain(..events.len().saturating_sub(KEPT));
        if events.last().is_some_and(|last| last.event.is_final()) {
            return Ok(Reading::HasEnded);
        }
        if is_full {
            continue;
        }
        // A deleted job has no last event.
        let is_over = !has_news && job::status(pool, job).await?.is_none_or(|status| status.is_final());
        return Ok(if is_over { Reading::HasEnded } else { Reading::GoesOn });
    }
}

fn last_seq(events: &[Arc<EventRow>]) -> Option<i64> {
    events.last().map(|last| last.seq)
}

fn lost(job: JobId, error: &DatabaseError) -> FeedLost {
    tracing::debug!(%job, %error, "the events of a job cannot be read");
    FeedLost
}

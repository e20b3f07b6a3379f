//! What one connection does: it waits for a request, until a deadline, or it is busy with one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// What a connection does; its task, its socket and its requests share it.
#[derive(Debug)]
pub(super) struct Activity {
    time_for_head: Duration,
    time_idle: Duration,
    standing: Mutex<Standing>,
    changed: Notify,
}

#[derive(Debug, Clone, Copy)]
enum Standing {
    /// A request's head is awaited or half there.
    Head { since: Instant, until: Instant },
    /// Between two requests.
    Idle { since: Instant, until: Instant },
    /// A request is being answered.
    Busy,
    /// Somebody else has the place.
    GivenUp,
}

impl Activity {
    /// A connection that has just begun.
    pub(super) fn new(time_for_head: Duration, time_idle: Duration) -> Self {
        let since = Instant::now();
        let standing = Standing::Head { since, until: since + time_for_head };
        Self { time_for_head, time_idle, standing: Mutex::new(standing), changed: Notify::new() }
    }

    /// Something came from the client: after a pause it is the begin of a request.
    pub(super) fn hear(&self) {
        let mut standing = self.lock();
        if let Standing::Idle { .. } = *standing {
            let since = Instant::now();
            *standing = Standing::Head { since, until: since + self.time_for_head };
            self.changed.notify_one();
        }
    }

    /// A request's head is there. The connection is busy until what this returns is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        let mut standing = self.lock();
        if !matches!(*standing, Standing::GivenUp) {
            *standing = Standing::Busy;
        }
        Busy(self.clone())
    }

    pub(super) fn give_up(&self) {
        *self.lock() = Standing::GivenUp;
        self.changed.notify_one();
    }

    /// Leaves a connection that waits no more than so much time.
    pub(super) fn hurry(&self, time: Duration) {
        if let Standing::Head { until, .. } | Standing::Idle { until, .. } = &mut *self.lock() {
            *until = (*until).min(Instant::now() + time);
        }
    }

    pub(super) fn waiting_since(&self) -> Option<Instant> {
        match *self.lock() {
            Standing::Head { since, .. } | Standing::Idle { since, .. } => Some(since),
            Standing::Busy | Standing::GivenUp => None,
        }
    }

    /// Returns when the connection has waited too long or was given up.
    pub(super) async fn over(&self) {
        while !self.is_over() {
            let deadline = match *self.lock() {
                Standing::Head { until, .. } | Standing::Idle { until, .. } => Some(until),
                Standing::Busy | Standing::GivenUp => None,
            };
            match deadline {
                Some(deadline) => {
                    let _ = tokio::time::timeout_at(deadline, self.changed.notified()).await;
                }
                None => self.changed.notified().await,
            }
        }
    }

    pub(super) fn is_over(&self) -> bool {
        match *self.lock() {
            Standing::Head { until, .. } | Standing::Idle { until, .. } => until <= Instant::now(),
            Standing::Busy => false,
            Standing::GivenUp => true,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct Busy(Arc<Activity>);

impl Drop for Busy {
    fn drop(&mut self) {
        let mut standing = self.0.lock();
        if let Standing::Busy = *standing {
            let since = Instant::now();
            *standing = Standing::Idle { since, until: since + self.0.time_idle };
            self.0.changed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: Duration = Duration::from_secs(10);
    const IDLE: Duration = Duration::from_mins(1);

    async fn seconds_until_over(activity: &Activity) -> u64 {
        let started = Instant::now();
        activity.over().await;
        started.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_has_its_time_from_its_first_byte_whatever_else_comes() {
        let activity = Arc::new(Activity::new(HEAD, IDLE));
        activity.hear();
        assert_eq!(seconds_until_over(&activity).await, 10);

        let activity = Arc::new(Activity::new(HEAD, IDLE));
        drop(activity.begin());
        tokio::time::sleep(Duration::from_secs(50)).await;
        let over = tokio::spawn({
            let activity = activity.clone();
            async move { seconds_until_over(&activity).await }
        });
        tokio::time::sleep(Duration::from_secs(1)).await;
        activity.hear();
        tokio::time::sleep(Duration::from_secs(5)).await;
        activity.hear();
        assert_eq!(over.await.unwrap(), 11);
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_connection_has_no_deadline_and_an_idle_one_its_own() {
        let activity = Arc::new(Activity::new(HEAD, IDLE));
        let busy = activity.begin();
        let answered = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(1000)).await;
            drop(busy);
        });
        assert_eq!(seconds_until_over(&activity).await, 1060);
        answered.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_can_be_hurried_and_what_is_busy_not() {
        let activity = Arc::new(Activity::new(HEAD, IDLE));
        activity.hurry(Duration::from_secs(1));
        assert_eq!(seconds_until_over(&activity).await, 1);
        let busy = Arc::new(Activity::new(HEAD, IDLE));
        let _request = busy.begin();
        busy.hurry(Duration::from_secs(1));
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert!(!busy.is_over());
    }
}

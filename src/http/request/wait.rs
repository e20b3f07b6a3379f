//! Long polls: an answer that waits for a job's status.

use std::time::{Duration, Instant};

use super::parameters::Parameters;
use crate::database::{DatabaseError, Wakeup};
use crate::http::App;
use crate::http::answer::problem::Problem;
use crate::id::JobId;
use crate::job::JobStatus;
use crate::table::job;

const LONGEST: u64 = 60;
/// A long poll looks by itself this often, in case a hint was lost.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// The parameter `wait`.
pub(crate) fn longest(parameters: &Parameters) -> Result<Option<Duration>, Problem> {
    let parse = |text: &str| text.parse().ok().filter(|seconds| *seconds <= LONGEST).map(Duration::from_secs);
    parameters.get("wait", parse, &format!("a whole number of seconds from 0 to {LONGEST}"))
}

/// Returns when `is_awaited` says so of the job's status, when the job is gone, or after `longest`.
pub(crate) async fn until(
    app: &App,
    id: JobId,
    longest: Duration,
    is_awaited: impl Fn(JobStatus) -> bool,
) -> Result<(), DatabaseError> {
    let started = Instant::now();
    let mut hints = app.notifications.subscribe();
    let pool = app.database.pool();
    while job::status(pool, id).await?.is_some_and(|status| !is_awaited(status)) {
        let left = longest.saturating_sub(started.elapsed());
        if left.is_zero() || app.draining.is_cancelled() {
            break;
        }
        let hint = hints.wait(left.min(LOOK_AGAIN), |wakeup| wakeup == Wakeup::Job(id));
        let _ = app.draining.run_until_cancelled(hint).await;
    }
    Ok(())
}

//! Trying again while the database is away.

use std::future::Future;
use std::time::{Duration, Instant};

use super::DatabaseError;

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Runs an operation until it works, fails for good, or has been tried for `patience`.
pub async fn retry_while_away<T, F>(
    what: &'static str,
    patience: Duration,
    mut operation: impl FnMut() -> F,
) -> Result<T, DatabaseError>
where
    F: Future<Output = Result<T, DatabaseError>>,
{
    let started = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        match operation().await {
            Err(error) if error.is_transient() && started.elapsed() + pause < patience => {
                tracing::warn!(what, %error, "database operation failed, trying again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            end => return end,
        }
    }
}

//! The queue's guarantees, with each race played in one fixed order on real connections.

mod cancel;
mod checkpoint;
mod claim;
mod crowd;
mod finish;
mod lease;
mod measurements;
mod restart;

use secateur_core::stage::Stage;

use crate::harness::Hand;

/// Tasks of a stage, by a connection of their own.
async fn count_tasks(hand: &Hand, stage: Stage) -> i64 {
    sqlx::query_scalar("select count(*) from task where stage = $1")
        .bind(stage.as_str())
        .fetch_one(hand.queue.database().pool())
        .await
        .unwrap()
}

/// Whether a connection waits for another's lock.
async fn somebody_waits_for_a_lock(hand: &Hand) -> Option<()> {
    let waiting: i64 = sqlx::query_scalar("select count(*) from pg_locks where not granted")
        .fetch_one(hand.queue.database().pool())
        .await
        .unwrap();
    (waiting > 0).then_some(())
}

//! The queue's guarantees, with each race played in one fixed order on real connections.

mod cancel;
mod checkpoint;
mod claim;
mod crowd;
mod finish;
mod judge;
mod lease;
mod measurements;
mod pause;
mod prepared;
mod random;
mod reconcile;
mod restart;
mod turn;
mod workers;

use std::sync::Arc;

use secateur::queue::{ClaimedTask, Written, finish_in};
use secateur_core::stage::Stage;

use crate::harness::{Hand, eventually};

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

/// Finishes two tasks at once: the first has written everything but has not committed when the second comes in between.
async fn finish_at_once(hand: &Arc<Hand>, first: &ClaimedTask, second: ClaimedTask) {
    let (brought_first, brought_second) = (hand.bring(first).await, hand.bring(&second).await);
    let mut transaction = hand.queue.database().begin().await.unwrap();
    assert_eq!(finish_in(&mut transaction, &first.lease, &brought_first).await.unwrap(), Written::Accepted);
    let second_finish = tokio::spawn({
        let hand = hand.clone();
        async move { hand.queue.finish(&second.lease, &brought_second).await.unwrap() }
    });
    eventually("the second waits for the first", || somebody_waits_for_a_lock(hand)).await;
    transaction.commit().await.unwrap();
    assert_eq!(second_finish.await.unwrap(), Written::Accepted);
}

//! Where the next attempt goes on.

use std::time::Duration;

use secateur::blob::BlobKey;
use secateur::queue::{ClaimedTask, Written};

use crate::harness::{Hand, TestServer, eventually};

fn key(task: &ClaimedTask, count: u32) -> BlobKey {
    BlobKey::checkpoint(task.lease.job, task.stage, task.plan.index, task.lease.attempt, count)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_attempt_gets_the_latest_checkpoint() {
    let server = TestServer::start().await;
    server.client().submit().await;
    let hand = Hand::of(&server);
    let task = hand.claim().await;
    assert_eq!(task.checkpoint, None);
    for count in [1, 2] {
        assert_eq!(hand.queue.checkpoint(&task.lease, &key(&task, count)).await.unwrap(), Written::Accepted);
    }
    hand.queue.give_back(&task.lease, "").await.unwrap();
    let again = hand.claim().await;
    assert_eq!(again.checkpoint, Some(key(&task, 2)));
    assert_eq!(hand.finish(&again).await, Written::Accepted);
    let next = hand.claim().await;
    assert_eq!(next.checkpoint, None, "a checkpoint is of one task");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_of_an_attempt_that_was_given_up_is_refused() {
    let server = TestServer::start().await;
    server.client().submit().await;
    let (dead, alive) = (Hand::with_lease(&server, Duration::from_millis(1)), Hand::of(&server));
    let lost = dead.claim().await;
    assert_eq!(dead.queue.checkpoint(&lost.lease, &key(&lost, 1)).await.unwrap(), Written::Accepted);
    eventually("the lease runs out", || async { (alive.queue.reap().await.unwrap() > 0).then_some(()) }).await;
    assert_eq!(dead.queue.checkpoint(&lost.lease, &key(&lost, 2)).await.unwrap(), Written::LeaseLost);

    let again = alive.claim().await;
    assert_eq!(again.checkpoint, Some(key(&lost, 1)));
    assert_eq!(dead.queue.checkpoint(&lost.lease, &key(&lost, 3)).await.unwrap(), Written::LeaseLost);
    assert_eq!(alive.queue.checkpoint(&again.lease, &key(&again, 1)).await.unwrap(), Written::Accepted);
}

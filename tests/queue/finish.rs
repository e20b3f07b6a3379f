//! Finishing the last tasks of a stage.

use std::sync::Arc;

use secateur::queue::{Written, finish_in};
use secateur_core::stage::Stage;

use super::{count_tasks, finish_at_once};
use crate::harness::{Hand, TestServer};

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_that_finish_the_last_two_tasks_at_once_create_the_next_stage_once() {
    let server = TestServer::start().await;
    server.client().submit().await;
    let hand = Arc::new(Hand::of(&server));
    let first = hand.claim_at(Stage::Screen).await;
    let second = hand.claim().await;
    assert_eq!(second.stage, Stage::Screen);
    finish_at_once(&hand, &first, second).await;

    assert_eq!(count_tasks(&hand, Stage::Export).await, 1);
    hand.finish_all().await;
    assert_eq!(count_tasks(&hand, Stage::Verify).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finish_that_is_said_twice_counts_once() {
    let server = TestServer::start().await;
    server.client().submit().await;
    let hand = Hand::of(&server);
    let task = hand.claim().await;
    let brought = hand.bring(&task).await;
    assert_eq!(hand.queue.finish(&task.lease, &brought).await.unwrap(), Written::Accepted);
    assert_eq!(hand.queue.finish(&task.lease, &brought).await.unwrap(), Written::Accepted);
    assert_eq!(count_tasks(&hand, Stage::Graph).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finish_that_is_rolled_back_leaves_nothing() {
    let server = TestServer::start().await;
    server.client().submit().await;
    let hand = Hand::of(&server);
    let task = hand.claim().await;
    let brought = hand.bring(&task).await;
    let mut transaction = hand.queue.database().begin().await.unwrap();
    finish_in(&mut transaction, &task.lease, &brought).await.unwrap();
    drop(transaction);
    assert_eq!(count_tasks(&hand, Stage::Graph).await, 0);
    assert_eq!(hand.finish(&task).await, Written::Accepted);
}

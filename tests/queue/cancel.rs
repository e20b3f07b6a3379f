//! Cancelling a job that is queued, that runs, and that finishes in the same moment.

use reqwest::StatusCode;
use secateur::queue::Written;
use secateur_core::stage::Stage;

use crate::harness::{Hand, TestServer};

#[tokio::test(flavor = "multi_thread")]
async fn a_queued_task_dies_at_once_and_a_running_one_is_told_at_its_heartbeat() {
    let server = TestServer::start().await;
    let client = server.client();
    let id = client.submit().await;
    let hand = Hand::of(&server);
    let running = hand.claim_at(Stage::Screen).await;
    let job = client.post(&format!("/v1/jobs/{id}/cancel")).await.expect(StatusCode::OK);
    assert_eq!(job["status"], "cancelled");
    assert!(hand.try_claim().await.is_none(), "the other screen task is not queued any more");
    let beat = hand.queue.heartbeat(&running.lease, running.stage, 0, None).await.unwrap().written;
    assert_eq!(beat, Written::Cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_finishes_after_the_cancellation_does_not_count() {
    let server = TestServer::start().await;
    let client = server.client();
    let id = client.submit().await;
    let hand = Hand::of(&server);
    let running = hand.claim_at(Stage::Graph).await;
    client.post(&format!("/v1/jobs/{id}/cancel")).await.expect(StatusCode::OK);
    assert_eq!(hand.finish(&running).await, Written::Cancelled);
    let job = client.get(&format!("/v1/jobs/{id}")).await.expect(StatusCode::OK);
    assert_eq!((&job["status"], &job["stage"]), (&"cancelled".into(), &"graph".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_job_keeps_the_best_so_far() {
    let server = TestServer::start().await;
    let client = server.client();
    let id = client.submit().await;
    let hand = Hand::of(&server);
    let screen = hand.claim_at(Stage::Screen).await;
    hand.finish(&screen).await;
    let job = client.post(&format!("/v1/jobs/{id}/cancel")).await.expect(StatusCode::OK);
    assert_eq!(job["best"]["candidate"], 0);
    assert_eq!(job["best"]["val_accuracy"], 0.5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_job_stops_its_worker() {
    let server = TestServer::start().await;
    let client = server.client();
    let id = client.submit().await;
    let hand = Hand::of(&server);
    let running = hand.claim().await;
    client.post(&format!("/v1/jobs/{id}/cancel")).await.expect(StatusCode::OK);
    assert_eq!(client.delete(&format!("/v1/jobs/{id}")).await.status, StatusCode::NO_CONTENT);
    assert_eq!(hand.finish(&running).await, Written::Cancelled);
}

//! A job that nothing would ever happen to is taken on, or fails.

use reqwest::StatusCode;
use secateur_core::stage::Stage;

use crate::harness::{Hand, TestServer};

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_that_was_done_and_not_followed_by_the_next_is_followed_now() {
    let server = TestServer::start().await;
    let client = server.client();
    let id = client.submit().await;
    let hand = Hand::of(&server);
    let graph = hand.claim_at(Stage::Graph).await;
    hand.finish(&graph).await;
    for statement in ["delete from task where stage = 'search'", "update job set stage = 'graph'"] {
        sqlx::query(statement).execute(server.pool()).await.unwrap();
    }
    assert_eq!(hand.queue.reconcile().await.unwrap(), 1);
    assert_eq!(hand.queue.reconcile().await.unwrap(), 0);
    hand.finish_all().await;
    let job = client.get(&format!("/v1/jobs/{id}")).await.expect(StatusCode::OK);
    assert_eq!(job["status"], "succeeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_lost_its_tasks_fails_and_one_that_waits_is_left_alone() {
    let server = TestServer::start().await;
    let client = server.client();
    let (lost, waiting) = (client.submit().await, client.submit().await);
    let id: secateur::id::JobId = lost.parse().unwrap();
    sqlx::query("delete from task where job_id = $1").bind(id.uuid()).execute(server.pool()).await.unwrap();
    let hand = Hand::of(&server);
    assert_eq!(hand.queue.reconcile().await.unwrap(), 1);
    let job = client.get(&format!("/v1/jobs/{lost}")).await.expect(StatusCode::OK);
    assert_eq!((&job["status"], &job["error"]["code"]), (&"failed".into(), &"internal".into()));
    let job = client.get(&format!("/v1/jobs/{waiting}")).await.expect(StatusCode::OK);
    assert_eq!(job["status"], "queued");
}

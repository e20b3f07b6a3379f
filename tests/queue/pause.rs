//! A paused job keeps its place and does nothing.

use reqwest::StatusCode;
use secateur::queue::{ClaimedTask, Pausing, Written};
use secateur_core::stage::Stage;
use serde_json::{Value, json};

use crate::harness::{Client, Hand, TestServer};

async fn show(client: &Client, id: &str) -> Value {
    client.get(&format!("/v1/jobs/{id}")).await.expect(StatusCode::OK)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_task_of_a_paused_job_is_claimed_until_it_is_resumed() {
    let server = TestServer::start().await;
    let client = server.client();
    let (paused, other) = (client.submit().await, client.submit().await);
    let hand = Hand::of(&server);
    assert_eq!(hand.queue.pause(paused.parse().unwrap()).await.unwrap(), Pausing::Done);
    assert_eq!(hand.claim().await.lease.job.to_string(), other);
    assert!(hand.try_claim().await.is_none());
    let job = show(&client, &paused).await;
    assert_eq!(job["status"], "queued");
    assert!(job["paused_at"].is_string(), "{job}");

    assert_eq!(hand.queue.resume(paused.parse().unwrap()).await.unwrap(), Pausing::Done);
    assert!(show(&client, &paused).await["paused_at"].is_null());
    assert_eq!(hand.claim().await.lease.job.to_string(), paused);
}

/// A job that is paused while a task of its stage `graph` runs.
async fn paused_in_graph(server: &TestServer) -> (String, Hand, ClaimedTask) {
    let id = server.client().submit().await;
    let hand = Hand::of(server);
    let task = hand.claim_at(Stage::Graph).await;
    hand.queue.pause(id.parse().unwrap()).await.unwrap();
    (id, hand, task)
}

/// The claim and the pause meet in either order: the worker learns of it at its next heartbeat.
#[tokio::test(flavor = "multi_thread")]
async fn a_running_task_of_a_job_that_is_paused_is_given_back_and_goes_on_later() {
    let server = TestServer::start().await;
    let client = server.client();
    let (id, hand, task) = paused_in_graph(&server).await;
    let beat = hand.queue.heartbeat(&task.lease, task.stage, 0, None).await.unwrap().written;
    assert_eq!(beat, Written::Paused);
    assert_eq!(hand.queue.give_back(&task.lease, "").await.unwrap(), Written::Accepted);
    assert!(hand.try_claim().await.is_none(), "what is given back is held");
    hand.queue.resume(id.parse().unwrap()).await.unwrap();
    hand.finish_all().await;
    assert_eq!(show(&client, &id).await["status"], "succeeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stage_after_a_task_that_ends_during_a_pause_is_held() {
    let server = TestServer::start().await;
    let client = server.client();
    let (id, hand, task) = paused_in_graph(&server).await;
    assert_eq!(hand.finish(&task).await, Written::Accepted);
    assert_eq!(show(&client, &id).await["stage"], "search");
    assert!(hand.try_claim().await.is_none());
    hand.queue.resume(id.parse().unwrap()).await.unwrap();
    assert_eq!(hand.claim().await.stage, Stage::Search);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_judge_may_answer_while_its_job_is_paused() {
    let server = TestServer::start().await;
    let client = server.client();
    let id = client.submit_judged(json!({"timeout_s": 3600})).await;
    let hand = Hand::of(&server);
    hand.finish_all().await;
    hand.queue.pause(id.parse().unwrap()).await.unwrap();
    for candidate in [0, 1] {
        let score = json!({"candidate": candidate, "score": 0.5});
        client.post_json(&format!("/v1/jobs/{id}/judgements"), &score).await;
    }
    assert_eq!(show(&client, &id).await["stage"], "export");
    assert!(hand.try_claim().await.is_none());
    hand.queue.resume(id.parse().unwrap()).await.unwrap();
    hand.finish_all().await;
    assert_eq!(show(&client, &id).await["status"], "succeeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_job_can_be_cancelled() {
    let server = TestServer::start().await;
    let client = server.client();
    let id = client.submit().await;
    let hand = Hand::of(&server);
    hand.queue.pause(id.parse().unwrap()).await.unwrap();
    client.post(&format!("/v1/jobs/{id}/cancel")).await.expect(StatusCode::OK);
    let job = show(&client, &id).await;
    assert_eq!((&job["status"], job["paused_at"].is_null()), (&"cancelled".into(), true), "{job}");
    let left: i64 =
        sqlx::query_scalar("select count(*) from task where state = 'held'").fetch_one(server.pool()).await.unwrap();
    assert_eq!(left, 0);
}

//! The outbox: a delivery is there with its event and goes with its job, and one server at a time has it.

use std::time::Duration;

use reqwest::StatusCode;
use secateur::queue::{Written, finish_in};
use secateur::table::webhook_delivery;
use secateur_core::stage::Stage;
use serde_json::json;

use super::{cancelled_job, let_the_time_pass};
use crate::harness::{Hand, Receiver, TestServer};

const LEASE: Duration = Duration::from_mins(1);

/// A server that leaves all deliveries to others.
async fn quiet_server() -> TestServer {
    TestServer::start_with(|options| {
        options.webhooks.allow = vec!["127.0.0.1".parse().unwrap()];
        options.webhooks.at_once = 0;
    })
    .await
}

async fn count(server: &TestServer, table: &'static str) -> i64 {
    sqlx::query_scalar(sqlx::AssertSqlSafe(format!("select count(*) from {table}")))
        .fetch_one(server.pool())
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_is_not_committed_is_not_told_and_one_that_is_is_told_once() {
    let (server, receiver) = (quiet_server().await, Receiver::start().await);
    server.client().submit_hooked(json!({"url": receiver.url()})).await;
    let hand = Hand::of(&server);
    let last = hand.claim_at(Stage::Verify).await;
    let brought = hand.bring(&last).await;
    let mut transaction = hand.queue.database().begin().await.unwrap();
    assert_eq!(finish_in(&mut transaction, &last.lease, &brought).await.unwrap(), Written::Accepted);
    transaction.rollback().await.unwrap();
    assert_eq!(count(&server, "webhook_delivery").await, 0);

    for _ in 0..2 {
        assert_eq!(hand.queue.finish(&last.lease, &brought).await.unwrap(), Written::Accepted, "said again");
        assert_eq!(count(&server, "webhook_delivery").await, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_claimed_once_until_its_lease_is_over_and_then_the_old_claim_writes_nothing() {
    let (server, receiver) = (quiet_server().await, Receiver::start().await);
    cancelled_job(&server.client(), &receiver).await;
    let mut first = server.pool().begin().await.unwrap();
    let lost = webhook_delivery::claim(&mut *first, &[], LEASE).await.unwrap().expect("it is due");
    let meanwhile = webhook_delivery::claim(server.pool(), &[], LEASE).await.unwrap();
    assert!(meanwhile.is_none(), "another transaction holds it");
    first.commit().await.unwrap();
    assert!(webhook_delivery::claim(server.pool(), &[], LEASE).await.unwrap().is_none(), "it is leased");

    let_the_time_pass(&server).await;
    let busy = [lost.tenant.to_string()];
    assert!(webhook_delivery::claim(server.pool(), &busy, LEASE).await.unwrap().is_none(), "its tenant has its share");
    let again = webhook_delivery::claim(server.pool(), &[], LEASE).await.unwrap().expect("the lease is over");
    assert_eq!((again.id, again.attempt, &again.body), (lost.id, lost.attempt + 1, &lost.body));
    assert!(!webhook_delivery::set_failed(server.pool(), lost.id, lost.attempt).await.unwrap());
    assert!(!webhook_delivery::postpone(server.pool(), lost.id, lost.attempt, LEASE).await.unwrap());
    assert!(!webhook_delivery::set_delivered(server.pool(), lost.id, lost.attempt).await.unwrap());
    assert!(webhook_delivery::set_delivered(server.pool(), again.id, again.attempt).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_deleted_takes_what_is_still_to_be_told_along() {
    let (server, receiver) = (quiet_server().await, Receiver::start().await);
    let client = server.client();
    let job = cancelled_job(&client, &receiver).await;
    assert_eq!(count(&server, "webhook_delivery").await, 1);
    assert_eq!(client.delete(&format!("/v1/jobs/{job}")).await.status, StatusCode::NO_CONTENT);
    assert_eq!((count(&server, "webhook_delivery").await, count(&server, "webhook_attempt").await), (0, 0));
}

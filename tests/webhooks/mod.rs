//! Webhooks: a real server sends to a real receiver on loopback.

mod deliver;
mod guard;
mod outbox;
mod page;
mod retry;
mod secrets;
mod servers;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::{Client, Receiver, TestServer, eventually};

/// A server that may send to loopback.
async fn server() -> TestServer {
    TestServer::start_with(|options| options.webhooks.allow = vec!["127.0.0.1".parse().unwrap()]).await
}

/// Submits a job whose webhook is told of its ends, cancels it, and returns its id.
async fn cancelled_job(client: &Client, receiver: &Receiver) -> String {
    let job = client.submit_hooked(json!({"url": receiver.url()})).await;
    client.post(&format!("/v1/jobs/{job}/cancel")).await.expect(StatusCode::OK);
    job
}

async fn deliveries(client: &Client, job: &str) -> Vec<Value> {
    let list = client.get(&format!("/v1/jobs/{job}/deliveries")).await.expect(StatusCode::OK);
    list["items"].as_array().unwrap().clone()
}

/// The only delivery of a job, once so many attempts have ended.
async fn after_attempts(client: &Client, job: &str, attempts: usize) -> Value {
    eventually("the attempts end", || async {
        let [delivery] = &deliveries(client, job).await[..] else { panic!("the job has one delivery") };
        let ended = delivery["attempts"].as_array().unwrap().iter().filter(|attempt| attempt["ended_at"].is_string());
        (ended.count() == attempts).then(|| delivery.clone())
    })
    .await
}

/// Lets the pause before the next attempt be over, or the lease of one that is under way.
async fn let_the_time_pass(server: &TestServer) {
    let query = "update webhook_delivery set next_attempt_at = clock_timestamp() where state = 'pending'";
    assert_eq!(sqlx::query(query).execute(server.pool()).await.unwrap().rows_affected(), 1);
}

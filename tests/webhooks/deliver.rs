//! What a receiver gets.

use reqwest::StatusCode;
use secateur::access::Scope;
use secateur::job::JobError;
use secateur::queue::Failure;
use secateur_core::rejection::{Code, Rejection};
use secateur_core::stage::Stage;
use serde_json::{Value, json};

use super::{after_attempts, deliveries, server};
use crate::harness::{Hand, Receiver, TestServer, form};

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_succeeds_is_told_once_signed_as_the_specification_says() {
    let (server, mut receiver) = (server().await, Receiver::start().await);
    let client = server.client_of("vision", Scope::Admin).await;
    let made = client.post("/v1/webhook-secrets").await.expect(StatusCode::CREATED);
    let secret = made["secret"].as_str().unwrap();
    let spec = json!({"target": {"flops_reduction": 0.5}, "method": "global_l2", "name": "edge",
                      "labels": {"team": "vision"}, "webhook": {"url": receiver.url()}});
    let job = client.post_form("/v1/jobs", form(&spec)).await.expect(StatusCode::ACCEPTED);
    let id = job["id"].as_str().unwrap();
    Hand::of(&server).finish_all().await;

    let received = receiver.next().await;
    assert!(received.is_signed_with(secret), "{received:?}");
    assert!(!received.is_signed_with("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), "another secret");
    let mut forged = received.clone();
    *forged.body.last_mut().unwrap() = b' ';
    assert!(!forged.is_signed_with(secret), "another body");
    assert_eq!(received.signatures(), 1);
    assert_eq!(received.header("content-type"), "application/json");
    assert!(received.header("user-agent").starts_with("secateur/"));

    let job = client.get(&format!("/v1/jobs/{id}")).await.expect(StatusCode::OK);
    let expected = json!({"type": "job.succeeded", "timestamp": job["finished_at"],
        "data": {"job_id": id, "status": "succeeded", "name": "edge", "labels": {"team": "vision"}, "result": job["result"]}});
    assert_eq!(received.json(), expected);
    assert!(job["result"]["winner"].is_string());

    let delivery = after_attempts(&client, id, 1).await;
    assert_eq!((&delivery["id"], &delivery["event"]), (&received.id().into(), &"succeeded".into()));
    assert_eq!((&delivery["status"], &delivery["next_attempt_at"]), (&"delivered".into(), &Value::Null));
    assert!(received.id().starts_with("dlv_") && delivery["delivered_at"].is_string(), "{delivery}");
    let attempt = &delivery["attempts"][0];
    assert_eq!((&attempt["number"], &attempt["status_code"]), (&1.into(), &204.into()));
    assert_eq!(attempt["error"], Value::Null);
    assert!(receiver.rest().is_empty(), "once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_fails_says_why() {
    let (server, mut receiver) = (server().await, Receiver::start().await);
    let client = server.client();
    client.submit_hooked(json!({"url": receiver.url(), "events": ["failed"]})).await;
    let hand = Hand::of(&server);
    let task = hand.claim().await;
    let rejection = Rejection::new(Code::UnsupportedOperator, "aten::foo is not supported.").at("node 7");
    let failure = Failure::Permanent(JobError::rejected(Stage::Import, rejection));
    hand.queue.fail(&task.lease, 0, &failure, "").await.unwrap();
    let told = receiver.next().await.json();
    assert_eq!((&told["type"], &told["data"]["status"]), (&"job.failed".into(), &"failed".into()));
    assert_eq!(told["data"]["error"]["code"], "unsupported_operator");
    assert_eq!(told["data"].get("result"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_judge_is_called_and_what_was_not_asked_for_is_not_told() {
    let (server, mut receiver) = (server().await, Receiver::start().await);
    let client = server.client();
    let spec = json!({"target": {"flops_reduction": 0.5}, "method": "global_l2", "judge": {"timeout_s": 600},
                      "webhook": {"url": receiver.url(), "events": ["judging"]}});
    let job = client.post_form("/v1/jobs", form(&spec)).await.expect(StatusCode::ACCEPTED);
    let id = job["id"].as_str().unwrap();
    Hand::of(&server).finish_all().await;
    let told = receiver.next().await.json();
    let asked = client.get(&format!("/v1/jobs/{id}/judgements")).await.expect(StatusCode::OK);
    let url = format!("/v1/jobs/{id}/judgements");
    let judgement = json!({"finalists": [1, 0], "deadline": asked["deadline"], "url": url});
    assert_eq!((&told["type"], &told["data"]["judgement"]), (&"job.judging".into(), &judgement));

    client.post(&format!("/v1/jobs/{id}/cancel")).await.expect(StatusCode::OK);
    assert_eq!(deliveries(&client, id).await.len(), 1, "the end was not asked for");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_without_a_webhook_tells_nobody() {
    let server = TestServer::start().await;
    let client = server.client();
    let job = client.submit().await;
    Hand::of(&server).finish_all().await;
    assert!(deliveries(&client, &job).await.is_empty());
}

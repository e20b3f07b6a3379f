//! `Idempotency-Key`

use futures::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Answer, Client, TestServer, file_part, form, json_body, send};

async fn post_form(client: &Client, key: &str, spec: &Value) -> Answer {
    send(client.request(Method::POST, "/v1/jobs").header("idempotency-key", key).multipart(form(spec))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_under_the_same_key_is_the_same_job_in_both_forms() {
    let server = TestServer::start().await;
    let client = server.client();
    let first = post_form(&client, "k1", &json!({"target": {"flops_reduction": 0.5}})).await;
    let job = first.expect(StatusCode::ACCEPTED);
    assert_eq!(first.header("idempotent-replayed"), "");

    let again = post_form(&client, "k1", &json!({"target": {"flops_reduction": 0.5}, "seed": 0})).await;
    assert_eq!(again.expect(StatusCode::ACCEPTED)["id"], job["id"], "a default that is spelt out is the same");
    assert_eq!(again.header("idempotent-replayed"), "true");

    let body = json!({"model_id": job["model_id"], "target": {"flops_reduction": 0.5}});
    let request = client.request(Method::POST, "/v1/jobs").header("idempotency-key", "k1");
    assert_eq!(send(json_body(request, &body)).await.expect(StatusCode::ACCEPTED)["id"], job["id"]);
    let all = client.get("/v1/jobs").await.expect(StatusCode::OK);
    assert_eq!(all["items"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_request_under_the_same_key_is_refused() {
    let server = TestServer::start().await;
    let client = server.client();
    let spec = json!({"target": {"flops_reduction": 0.5}});
    post_form(&client, "k", &spec).await.expect(StatusCode::ACCEPTED);
    let other = json!({"target": {"flops_reduction": 0.6}});
    post_form(&client, "k", &other).await.problem(422, "idempotency_key_reused");
    let with_data = form(&spec).part("dataset", file_part("digits.npz"));
    let request = client.request(Method::POST, "/v1/jobs").header("idempotency-key", "k").multipart(with_data);
    send(request).await.problem(422, "idempotency_key_reused");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_at_the_same_time_under_one_key_make_one_job() {
    let server = TestServer::start().await;
    let client = server.client();
    let model_id = client.upload_model().await;
    let body = json!({"model_id": model_id, "target": {"flops_reduction": 0.5}});
    let requests = (0..8)
        .map(|_| send(json_body(client.request(Method::POST, "/v1/jobs").header("idempotency-key", "race"), &body)));
    let ids: Vec<Value> =
        join_all(requests).await.iter().map(|answer| answer.expect(StatusCode::ACCEPTED)["id"].clone()).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_empty_or_too_long_is_refused() {
    let server = TestServer::start().await;
    let client = server.client();
    for key in [String::new(), "k".repeat(256)] {
        post_form(&client, &key, &json!({"target": {"flops_reduction": 0.5}})).await.problem(400, "invalid_parameter");
    }
}

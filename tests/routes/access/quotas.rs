//! Quotas of keys and tenants.

use reqwest::StatusCode;
use secateur::access::Scope;
use serde_json::json;

use crate::harness::{TestServer, example, form};

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_asks_too_often_is_told_when_the_next_request_will_pass() {
    let server = TestServer::start_with(|options| options.quotas.requests_per_minute = Some(3)).await;
    let client = server.client_of("ours", Scope::Read).await;
    for _ in 0..3 {
        client.get("/v1/jobs").await.expect(StatusCode::OK);
    }
    // Three a minute is one every twenty seconds, on the database's clock.
    let empty = "update request_allowance set tokens = 0, at = clock_timestamp() - make_interval(secs => $1)";
    let emptied = async |seconds: f64| sqlx::query(empty).bind(seconds).execute(server.pool()).await.unwrap();
    emptied(0.0).await;
    let answer = client.get("/v1/jobs").await;
    answer.problem(429, "rate_limited");
    assert_eq!(answer.header("retry-after"), "20");
    emptied(15.0).await;
    let answer = client.get("/v1/jobs").await;
    answer.problem(429, "rate_limited");
    assert_eq!(answer.header("retry-after"), "5");
    emptied(20.0).await;
    client.get("/v1/jobs").await.expect(StatusCode::OK);
    emptied(3600.0).await;
    for _ in 0..3 {
        client.get("/v1/jobs").await.expect(StatusCode::OK);
    }
    client.get("/v1/jobs").await.problem(429, "rate_limited");
    // Another key has its own, and what is the same for everyone is not counted.
    server.client_of("ours", Scope::Read).await.get("/v1/jobs").await.expect(StatusCode::OK);
    client.get("/healthz").await.expect(StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_has_no_more_open_jobs_than_its_quota_however_many_it_submits_at_once() {
    let server = TestServer::start_with(|options| options.quotas.open_jobs = Some(2)).await;
    let client = server.client_of("ours", Scope::Submit).await;
    let spec = json!({"target": {"flops_reduction": 0.5}, "method": "uniform"});
    let answers = futures::future::join_all((0..6).map(|_| client.post_form("/v1/jobs", form(&spec)))).await;
    let (accepted, refused): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|answer| answer.status == StatusCode::ACCEPTED);
    assert_eq!(accepted.len(), 2);
    for answer in refused {
        let problem = answer.problem(429, "quota_exceeded");
        assert_eq!(problem["quota"], json!({"used": 2, "most": 2}));
        assert_eq!(answer.header("retry-after"), "60");
    }
    let other = server.client_of("theirs", Scope::Submit).await;
    other.submit().await;
    let id = accepted[0].expect(StatusCode::ACCEPTED)["id"].as_str().unwrap().to_owned();
    client.post(&format!("/v1/jobs/{id}/cancel")).await.expect(StatusCode::OK);
    client.post_form("/v1/jobs", form(&spec)).await.expect(StatusCode::ACCEPTED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_stores_no_more_than_its_quota_and_has_room_again_after_a_deletion() {
    let model = std::fs::metadata(example("vgg-digits.pt")).unwrap().len();
    let server = TestServer::start_with(|options| options.quotas.stored_bytes = Some(model)).await;
    let client = server.client_of("ours", Scope::Submit).await;
    let id = client.upload_model().await;
    let digits = std::fs::read(example("digits.npz")).unwrap();
    let problem = client.upload("/v1/datasets", digits).await.problem(429, "quota_exceeded");
    assert_eq!(problem["quota"], json!({"used": model, "most": model}));
    assert_eq!(client.get("/v1/datasets").await.expect(StatusCode::OK)["items"], json!([]));
    // The same again is not stored again.
    client.upload_model().await;
    assert_eq!(client.delete(&format!("/v1/models/{id}")).await.status, StatusCode::NO_CONTENT);
    client.upload_dataset().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_keys_counts_nothing() {
    let server = TestServer::start_with(|options| {
        options.quotas.requests_per_minute = Some(1);
        options.quotas.open_jobs = Some(1);
        options.quotas.stored_bytes = Some(1);
    })
    .await;
    for _ in 0..3 {
        server.client().submit().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_sees_what_it_has_and_what_it_may_have() {
    let server = TestServer::start_with(|options| options.quotas.open_jobs = Some(2)).await;
    let anonymous = server.client().get("/v1/quotas").await.expect(StatusCode::OK);
    assert_eq!(anonymous["open_jobs"], json!({"used": 0, "most": null}));
    let client = server.client_of("ours", Scope::Submit).await;
    client.submit().await;
    server.client_of("theirs", Scope::Submit).await.submit().await;
    let quotas = client.get("/v1/quotas").await.expect(StatusCode::OK);
    assert_eq!(quotas["open_jobs"], json!({"used": 1, "most": 2}));
    let model = std::fs::metadata(example("vgg-digits.pt")).unwrap().len();
    assert_eq!(quotas["stored_bytes"]["used"], model);
    assert_eq!(quotas["requests_per_minute"], 1200);
}

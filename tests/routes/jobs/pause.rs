//! `POST /v1/jobs/{id}/pause` and `…/resume`; what they do to tasks is in `queue::pause`.

use reqwest::StatusCode;

use crate::harness::{Hand, TestServer};

#[tokio::test(flavor = "multi_thread")]
async fn pausing_twice_is_as_good_as_once_and_so_is_resuming() {
    let server = TestServer::start().await;
    let client = server.client();
    let id = client.submit().await;
    for (verb, is_paused) in [("pause", true), ("resume", false)] {
        let path = format!("/v1/jobs/{id}/{verb}");
        let once = client.post(&path).await.expect(StatusCode::OK);
        assert_eq!(once["paused_at"].is_string(), is_paused, "{once}");
        assert_eq!(once, client.post(&path).await.expect(StatusCode::OK));
    }
    let events = client.get(&format!("/v1/jobs/{id}/events")).await.expect(StatusCode::OK);
    let kinds: Vec<&str> =
        events["items"].as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["queued", "paused", "resumed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_ended_cannot_be_paused_or_resumed() {
    let server = TestServer::start().await;
    let client = server.client();
    let id = client.submit().await;
    Hand::of(&server).finish_all().await;
    for verb in ["pause", "resume"] {
        let problem = client.post(&format!("/v1/jobs/{id}/{verb}")).await.problem(409, "job_has_ended");
        assert!(problem["detail"].as_str().unwrap().contains(verb), "{problem}");
        client.post(&format!("/v1/jobs/job_{}/{verb}", "0".repeat(32))).await.problem(404, "job_not_found");
    }
}

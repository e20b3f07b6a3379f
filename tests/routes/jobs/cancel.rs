//! `POST /v1/jobs/{id}/cancel`; what it does to running tasks is in `queue::cancel`.

use reqwest::StatusCode;

use crate::harness::{Hand, TestServer};

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_twice_is_as_good_as_once() {
    let server = TestServer::start().await;
    let client = server.client();
    let path = format!("/v1/jobs/{}/cancel", client.submit().await);
    let once = client.post(&path).await.expect(StatusCode::OK);
    let twice = client.post(&path).await.expect(StatusCode::OK);
    assert_eq!(once, twice);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_ended_cannot_be_cancelled_and_one_that_is_not_there_neither() {
    let server = TestServer::start().await;
    let client = server.client();
    let id = client.submit().await;
    Hand::of(&server).finish_all().await;
    let problem = client.post(&format!("/v1/jobs/{id}/cancel")).await.problem(409, "job_has_ended");
    assert!(problem["detail"].as_str().unwrap().contains("succeeded"));
    let nowhere = format!("/v1/jobs/job_{}/cancel", "0".repeat(32));
    client.post(&nowhere).await.problem(404, "job_not_found");
}

//! `DELETE /v1/jobs/{id}`

use reqwest::StatusCode;

use crate::harness::{Hand, TestServer, count_files};

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_ended_goes_with_its_blobs_and_its_model_stays() {
    let server = TestServer::start().await;
    let client = server.client();
    let id = client.submit().await;
    Hand::of(&server).finish_all().await;
    let blobs = server.data_folder().join("blobs");
    assert!(count_files(&blobs.join("jobs")) > 5);
    assert_eq!(client.delete(&format!("/v1/jobs/{id}")).await.status, StatusCode::NO_CONTENT);
    assert_eq!(count_files(&blobs.join("jobs")), 0);
    assert_eq!(count_files(&blobs.join("models")), 1);
    for path in ["", "/events", "/artifacts", "/artifacts/model.pt"] {
        client.get(&format!("/v1/jobs/{id}{path}")).await.problem(404, "job_not_found");
    }
    client.delete(&format!("/v1/jobs/{id}")).await.problem(404, "job_not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_has_not_ended_stays() {
    let server = TestServer::start().await;
    let client = server.client();
    let id = client.submit().await;
    let problem = client.delete(&format!("/v1/jobs/{id}")).await.problem(409, "job_not_ended");
    assert!(problem["hint"].as_str().unwrap().contains("/cancel"));
    client.get(&format!("/v1/jobs/{id}")).await.expect(StatusCode::OK);
}

//! `GET /v1/jobs/{id}`

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use secateur_core::stage::Stage;
use serde_json::json;
use sqlx::postgres::PgPoolOptions;

use crate::harness::{Hand, TestServer, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_id_and_what_is_not_there_are_both_not_found() {
    let server = TestServer::start().await;
    let client = server.client();
    let nowhere = format!("/v1/jobs/job_{}", "0".repeat(32));
    client.get(&nowhere).await.problem(404, "job_not_found");
    let problem = client.get("/v1/jobs/mdl_1").await.problem(404, "job_not_found");
    assert!(problem["detail"].as_str().unwrap().contains("`job_`"), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_wait_is_named_with_what_is_allowed() {
    let server = TestServer::start().await;
    let client = server.client();
    let id = client.submit().await;
    for wait in ["61", "-1", "soon"] {
        let problem = client.get(&format!("/v1/jobs/{id}?wait={wait}")).await.problem(400, "invalid_parameter");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("`wait`") && detail.contains(wait) && detail.contains("0 to 60"), "{detail}");
    }
}

/// Returns once the server has read a job's status, by a connection of its own: the server's show what they did last.
async fn a_status_was_read(server: &TestServer) {
    let options = server.pool().connect_options();
    let beside = PgPoolOptions::new().max_connections(1).connect_with((*options).clone()).await.unwrap();
    let query = "select exists (select 1 from pg_stat_activity
                 where state = 'idle' and query = 'select status from job where id = $1')";
    eventually("the long poll has read the status", || async {
        let was_read: bool = sqlx::query_scalar(query).fetch_one(&beside).await.unwrap();
        was_read.then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_poll_answers_when_the_status_changes() {
    let server = TestServer::start().await;
    let client = server.client();
    let id = client.submit().await;
    let started = Instant::now();
    let waiting = tokio::spawn({
        let (client, path) = (client.clone(), format!("/v1/jobs/{id}?wait=60"));
        async move { client.get(&path).await.expect(StatusCode::OK) }
    });
    a_status_was_read(&server).await;
    Hand::of(&server).claim().await;
    assert_eq!(waiting.await.unwrap()["status"], "running");
    assert!(started.elapsed() < Duration::from_secs(30), "it took {:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_poll_ends_without_a_change_after_its_time_and_for_a_job_that_ended_at_once() {
    let server = TestServer::start().await;
    let client = server.client();
    let id = client.submit().await;
    let job = client.get(&format!("/v1/jobs/{id}?wait=1")).await.expect(StatusCode::OK);
    assert_eq!(job["status"], "queued");
    client.post(&format!("/v1/jobs/{id}/cancel")).await.expect(StatusCode::OK);
    let started = Instant::now();
    let job = client.get(&format!("/v1/jobs/{id}?wait=60")).await.expect(StatusCode::OK);
    assert_eq!(job["status"], "cancelled");
    assert!(started.elapsed() < Duration::from_secs(30), "it took {:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_job_shows_best_result_and_every_stage() {
    let server = TestServer::start().await;
    let client = server.client();
    let id = client.submit().await;
    let hand = Hand::of(&server);
    let export = hand.claim_at(Stage::Export).await;
    hand.finish(&export).await;
    hand.finish_all().await;
    let job = client.get(&format!("/v1/jobs/{id}")).await.expect(StatusCode::OK);
    assert_eq!(job["status"], "succeeded");
    assert_eq!(job["best"]["candidate"], 1, "the better of the two that were screened");
    assert_eq!(job["result"]["base"]["macs"], 200);
    assert_eq!(job["result"]["pruned"]["macs"], 100);
    assert_eq!(job["result"]["reduction"]["flops_reduction"], 0.5);
    assert_eq!(job["error"], serde_json::Value::Null);
    let screen = &job["progress"]["screen"];
    assert_eq!((&screen["done"], &screen["total"]), (&2.into(), &2.into()));
    for stage in ["import", "graph", "search", "screen", "export", "verify"] {
        assert!(job["progress"].get(stage).is_some(), "{stage} is missing: {job}");
    }
    assert!(job["finished_at"].as_str() > job["started_at"].as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_like_an_earlier_one_says_how_long_it_will_take() {
    let server = TestServer::start().await;
    let client = server.client();
    let hand = Hand::of(&server);
    let first = client.submit().await;
    let path = format!("/v1/jobs/{first}");
    assert!(client.get(&path).await.expect(StatusCode::OK)["eta_s"].is_null());
    hand.finish_all().await;
    let times = "update task set started_at = finished_at - make_interval(secs => case stage when 'export' then 40 else 10 end)";
    sqlx::query(times).execute(server.pool()).await.unwrap();
    assert!(client.get(&path).await.expect(StatusCode::OK)["eta_s"].is_null(), "it has ended");

    let path = format!("/v1/jobs/{}", client.submit().await);
    let eta = client.get(&path).await.expect(StatusCode::OK)["eta_s"].as_f64().unwrap();
    // Six stages, one of them of 40 seconds; those of several tasks took a little longer from the first to the last.
    assert!((90.0..120.0).contains(&eta), "{eta}");
    hand.claim_at(Stage::Export).await;
    let eta = client.get(&path).await.expect(StatusCode::OK)["eta_s"].as_f64().unwrap();
    assert!((50.0..51.0).contains(&eta), "{eta}");

    let other = client.submit_with(json!({"method": "uniform"})).await;
    assert!(client.get(&format!("/v1/jobs/{other}")).await.expect(StatusCode::OK)["eta_s"].is_null());
}

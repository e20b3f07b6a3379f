//! Engines that die, fail or hang. The server survives all of it.

use reqwest::StatusCode;
use serde_json::Value;

use super::{quick_spec, server_with, submit, wait_for_end, with_one_slot};
use crate::harness::{Client, TestServer};
use crate::with_engine::{engine, engine_with_fault};

async fn event_types(client: &Client, path: &str) -> Vec<String> {
    let events = client.get(&format!("{path}/events?limit=200")).await.expect(StatusCode::OK);
    let items = events["items"].as_array().unwrap();
    items.iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_aborts_is_tried_three_times_and_then_the_job_fails_as_our_fault() {
    let server = server_with(engine_with_fault("abort:search")).await;
    let client = server.client();
    let path = submit(&client, "vgg-digits.pt", &quick_spec(1)).await;
    let job = wait_for_end(&client, &path).await;
    assert_eq!(job["status"], "failed", "{job}");
    let error = &job["error"];
    assert_eq!((&error["code"], &error["stage"]), (&"internal".into(), &"search".into()));
    assert!(error["detail"].as_str().unwrap().contains("signal 6"), "{error}");
    let retries = event_types(&client, &path).await.iter().filter(|kind| *kind == "task_retried").count();
    assert_eq!(retries, 2);
    assert_eq!(client.get("/readyz").await.status, StatusCode::OK);
    let log = client.get(&format!("{path}/artifacts/log.txt")).await;
    assert!(String::from_utf8_lossy(&log.body).contains("signal 6"));
    client.get(&format!("{path}/artifacts/model.pt")).await.problem(404, "artifact_not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_the_engine_crashes_on_twice_is_at_fault_and_not_the_service() {
    let server = server_with(engine_with_fault("abort:import")).await;
    let client = server.client();
    let path = submit(&client, "vgg-digits.pt", &quick_spec(1)).await;
    let job = wait_for_end(&client, &path).await;
    let error = &job["error"];
    assert_eq!((&error["code"], &error["stage"]), (&"unsupported_model".into(), &"import".into()), "{job}");
    let detail = error["detail"].as_str().unwrap();
    assert!(detail.contains("signal 6") && detail.contains("attempt 2 of 2"), "{detail}");
    let retries = event_types(&client, &path).await.iter().filter(|kind| *kind == "task_retried").count();
    assert_eq!(retries, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_says_that_it_failed_is_tried_again_too() {
    let server = server_with(engine_with_fault("fail:import")).await;
    let client = server.client();
    let path = submit(&client, "vgg-digits.pt", &quick_spec(1)).await;
    let job = wait_for_end(&client, &path).await;
    assert_eq!((&job["status"], &job["error"]["code"]), (&"failed".into(), &"internal".into()), "{job}");
    assert_eq!(job["stage"], "import");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_hangs_is_killed_when_its_time_is_up() {
    let server = TestServer::start_with(|options| {
        options.engine = Some(engine_with_fault("hang:import"));
        options.slots = 1;
        options.task_timeout = std::time::Duration::from_secs(2);
    })
    .await;
    let client = server.client();
    let path = submit(&client, "vgg-digits.pt", &quick_spec(1)).await;
    let job = wait_for_end(&client, &path).await;
    assert_eq!((&job["status"], &job["error"]["code"]), (&"failed".into(), &"timed_out".into()), "{job}");
    assert_eq!(job["best"], Value::Null);
}

/// However long it lasts: no attempt is spent on it.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_disk_is_full_takes_no_task_until_there_is_room() {
    let mut server = TestServer::start_with(|options| options.slots = 0).await;
    let mut spec = quick_spec(1);
    spec["fine_tune"] = Value::Null;
    let path = submit(&server.client(), "vgg-digits.pt", &spec).await;
    server
        .restart_with(|options| {
            with_one_slot(options, engine());
            options.reserve_bytes = u64::MAX;
        })
        .await;
    server.client().get("/readyz").await.problem(503, "disk_full");
    let job = server.client().get(&format!("{path}?wait=5")).await.expect(StatusCode::OK);
    assert_eq!(job["status"], "queued", "{job}");

    server.restart_with(|options| options.reserve_bytes = 0).await;
    let client = server.client();
    assert_eq!(wait_for_end(&client, &path).await["status"], "succeeded");
    assert!(!event_types(&client, &path).await.contains(&"task_retried".to_owned()));
}

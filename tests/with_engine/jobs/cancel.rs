//! Cancelling while an engine runs.

use reqwest::StatusCode;

use super::{quick_spec, server_with, submit, wait_for_end, wait_for_stage};
use crate::harness::{count_files, eventually};
use crate::with_engine::{engine, engine_with_fault};

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_is_stopped_and_the_slot_takes_the_next_job() {
    let server = server_with(engine()).await;
    let client = server.client();
    let long = submit(&client, "vgg-digits.pt", &quick_spec(10_000)).await;
    wait_for_stage(&client, &long, "tune").await;
    let job = client.post(&format!("{long}/cancel")).await.expect(StatusCode::OK);
    assert_eq!(job["status"], "cancelled");
    assert_eq!(job["best"]["stage"], "screen", "the best so far stays");
    let scratch = server.data_folder().join("scratch");
    eventually("the engine's folder is gone", || async { (count_files(&scratch) == 0).then_some(()) }).await;

    let mut spec = quick_spec(1);
    spec["fine_tune"] = serde_json::Value::Null;
    let next = submit(&client, "vgg-digits.pt", &spec).await;
    assert_eq!(wait_for_end(&client, &next).await["status"], "succeeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_hangs_is_stopped_all_the_same() {
    let server = server_with(engine_with_fault("hang:graph")).await;
    let client = server.client();
    let path = submit(&client, "vgg-digits.pt", &quick_spec(1)).await;
    wait_for_stage(&client, &path, "graph").await;
    let scratch = server.data_folder().join("scratch");
    eventually("the engine runs", || async { (count_files(&scratch) > 0).then_some(()) }).await;
    client.post(&format!("{path}/cancel")).await.expect(StatusCode::OK);
    eventually("the engine's folder is gone", || async { (count_files(&scratch) == 0).then_some(()) }).await;
}

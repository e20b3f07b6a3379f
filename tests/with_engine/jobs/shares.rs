//! Uploads that hang: no job waits for an inspection and no inspection for a job, with one slot too.

use reqwest::StatusCode;
use serde_json::Value;

use super::{quick_spec, server_with, submit, wait_for_end, wait_for_stage};
use crate::harness::{Client, TestServer, eventually, example};
use crate::with_engine::engine_with_fault;

/// Uploads an example and returns its path.
async fn upload(client: &Client, model: &str) -> String {
    let bytes = std::fs::read(example(model)).unwrap();
    let model = client.upload("/v1/models?input_shape=1,8,8", bytes).await.expect(StatusCode::CREATED);
    format!("/v1/models/{}", model["id"].as_str().unwrap())
}

async fn inspection(client: &Client, path: &str) -> Value {
    client.get(path).await.expect(StatusCode::OK)["inspection"].take()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_does_not_wait_for_inspections_that_hang() {
    let server = server_with(engine_with_fault("hang:inspect")).await;
    let client = server.client();
    let first = upload(&client, "vgg-digits.pt").await;
    let second = upload(&client, "resnet20-digits.pt").await;
    eventually("the first inspection hangs", || async {
        (inspection(&client, &first).await["status"] == "running").then_some(())
    })
    .await;
    let path = submit(&client, "vgg-digits.pt", &quick_spec(1)).await;
    let job = wait_for_end(&client, &path).await;
    assert_eq!(job["status"], "succeeded", "{job}");
    assert_eq!(inspection(&client, &first).await["status"], "running");
    assert_eq!(inspection(&client, &second).await["status"], "queued", "and they do not take a job's slot either");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inspection_does_not_wait_for_a_job_that_hangs() {
    let server = server_with(engine_with_fault("hang:import")).await;
    let client = server.client();
    let path = submit(&client, "vgg-digits.pt", &quick_spec(1)).await;
    wait_for_stage(&client, &path, "import").await;
    eventually("the job hangs", || async {
        (client.get(&path).await.expect(StatusCode::OK)["status"] == "running").then_some(())
    })
    .await;
    let model = upload(&client, "resnet20-digits.pt").await;
    let inspected = client.get(&format!("{model}?wait=60")).await.expect(StatusCode::OK);
    assert_eq!(inspected["inspection"]["status"], "succeeded", "{inspected}");
    assert_eq!(client.get(&path).await.expect(StatusCode::OK)["status"], "running");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inspection_that_hangs_is_ended_for_good_and_the_next_one_has_its_turn() {
    let server = TestServer::start_with(|options| {
        options.engine = Some(engine_with_fault("hang:inspect"));
        options.slots = 1;
        options.task_timeout = std::time::Duration::from_secs(1);
    })
    .await;
    let client = server.client();
    for model in ["vgg-digits.pt", "resnet20-digits.pt"] {
        let path = upload(&client, model).await;
        let inspected = client.get(&format!("{path}?wait=60")).await.expect(StatusCode::OK);
        assert_eq!(inspected["inspection"]["error"]["code"], "timed_out", "{inspected}");
    }
    let attempts: Vec<i32> = sqlx::query_scalar("select attempt from task where stage = 'inspect'")
        .fetch_all(server.queue().database().pool())
        .await
        .unwrap();
    assert_eq!(attempts, [1, 1]);
}

//! A second job on the same model and data set, with the real engine.

use reqwest::StatusCode;
use secateur_core::search::ranking::sensitivity::Sensitivity;
use secateur_core::stage::Work;
use serde_json::{Value, json};

use super::{server_with, submit, wait_for_end};
use crate::harness::{Client, TestServer};
use crate::with_engine::engine;

/// Every stage of the method, small.
fn sacp_spec(target: f64) -> Value {
    json!({
        "target": {"flops_reduction": target},
        "input": {"mean": 4.9, "std": 6.0},
        "encoder": {"configs": 128, "epochs": 1},
        "search": {"candidates": 20_000, "top_m": 6, "top_k": 1},
        "fine_tune": {"epochs": 1, "light_epochs": 1, "batch_size": 256}
    })
}

async fn run(client: &Client, spec: &Value) -> (String, Value) {
    let path = submit(client, "vgg-digits.pt", spec).await;
    let job = wait_for_end(client, &path).await;
    assert_eq!(job["status"], "succeeded", "{job}");
    let report = client.get(&format!("{path}/artifacts/report.json")).await.expect(StatusCode::OK);
    (path, report)
}

/// The sensitivities that the latest job's search was given.
async fn given_to_the_latest_search(server: &TestServer) -> Vec<Sensitivity> {
    let work: Value =
        sqlx::query_scalar("select plan -> 'work' from task where stage = 'search' order by job_id desc limit 1")
            .fetch_one(server.queue().database().pool())
            .await
            .unwrap();
    match serde_json::from_value(work).unwrap() {
        Work::Search(work) => work.sensitivities,
        other => panic!("{other:?} in the search stage"),
    }
}

async fn count_tasks(server: &TestServer, stage: &str) -> i64 {
    sqlx::query_scalar("select count(*) from task where stage = $1")
        .bind(stage)
        .fetch_one(server.queue().database().pool())
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_target_reuses_the_sensitivities_and_the_same_job_again_the_screens_too() {
    let server = server_with(engine()).await;
    let client = server.client();
    let (_, first) = run(&client, &sacp_spec(0.5)).await;
    assert_eq!(first["reused"], json!({"sensitivities": 0, "screens": 0}));
    let measured = given_to_the_latest_search(&server).await;
    assert!(!measured.is_empty());
    let tasks = count_tasks(&server, "sensitivity").await;

    let (path, second) = run(&client, &sacp_spec(0.7)).await;
    assert_eq!(count_tasks(&server, "sensitivity").await, tasks, "the second job measured none");
    assert_eq!(given_to_the_latest_search(&server).await, measured);
    assert_eq!(second["reused"]["sensitivities"], measured.len());
    let removed = second["reduction"]["flops_reduction"].as_f64().unwrap();
    assert!((0.69..=0.72).contains(&removed), "{removed}");
    let equivalence = |field: &str| second["equivalence"][field].as_f64().unwrap();
    assert!(equivalence("max_abs_diff") <= equivalence("tolerance"), "{second}");
    let job = client.get(&path).await.expect(StatusCode::OK);
    assert_eq!(job["progress"]["sensitivity"]["reused"], measured.len());

    // The first job again, tuned otherwise: the networks that go on are cut again, without the screen's files.
    let screens = count_tasks(&server, "screen").await;
    let mut again = sacp_spec(0.5);
    again["fine_tune"]["batch_size"] = 128.into();
    let (_, third) = run(&client, &again).await;
    assert_eq!(count_tasks(&server, "screen").await, screens, "nothing was screened again");
    assert_eq!(third["reused"]["screens"], first["candidates"].as_array().unwrap().len());
    let screened = |report: &Value| -> Vec<Value> {
        report["candidates"].as_array().unwrap().iter().map(|found| found["screened_accuracy"].clone()).collect()
    };
    assert_eq!(screened(&third), screened(&first));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_is_not_tuned_is_exported_as_it_was_screened_before() {
    let server = server_with(engine()).await;
    let client = server.client();
    let mut spec = sacp_spec(0.5);
    spec["fine_tune"] = Value::Null;
    let (_, first) = run(&client, &spec).await;
    spec["name"] = "again".into();
    let (_, second) = run(&client, &spec).await;
    assert!(second["reused"]["screens"].as_u64() > Some(0));
    assert_eq!(second["kept"], first["kept"]);
    assert_eq!(second["pruned"]["accuracy"], first["pruned"]["accuracy"]);
}

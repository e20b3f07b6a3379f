//! Engines that die in the middle: the next attempt goes on from the checkpoint.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{submit, wait_for_end};
use crate::harness::{Client, TestServer, count_files};
use crate::with_engine::{engine, engine_with_fault};

async fn server_with_checkpoints(engine: secateur::engine::EngineBinary) -> TestServer {
    TestServer::start_with(|options| {
        options.engine = Some(engine);
        options.slots = 1;
        options.checkpoint_interval = Duration::ZERO;
    })
    .await
}

/// Runs a job to its end; returns its path, its report and its log.
async fn run(client: &Client, spec: &Value) -> (String, Value, String) {
    let path = submit(client, "vgg-digits.pt", spec).await;
    let job = wait_for_end(client, &path).await;
    assert_eq!(job["status"], "succeeded", "{job}");
    let report = client.get(&format!("{path}/artifacts/report.json")).await.expect(StatusCode::OK);
    let log = client.get(&format!("{path}/artifacts/log.txt")).await;
    (path, report, String::from_utf8(log.body).unwrap())
}

async fn failures(server: &TestServer) -> i64 {
    sqlx::query_scalar("select sum(failures)::int8 from task")
        .fetch_one(server.queue().database().pool())
        .await
        .unwrap()
}

fn checkpoints(server: &TestServer) -> usize {
    let blobs = server.data_folder().join("blobs/jobs");
    let mut found = 0;
    let mut folders = vec![blobs];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                found += usize::from(entry.file_name().to_string_lossy().starts_with("checkpoint"));
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn tuning_goes_on_at_the_epoch_of_the_checkpoint_and_ends_the_same() {
    let spec = json!({
        "target": {"flops_reduction": 0.5}, "method": "global_l2", "input": {"mean": 4.9, "std": 6.0},
        "fine_tune": {"epochs": 4, "batch_size": 256}
    });
    let whole_server = server_with_checkpoints(engine()).await;
    let (_, whole, log) = run(&whole_server.client(), &spec).await;
    assert!(!log.contains("going on after"), "{log}");

    let server = server_with_checkpoints(engine_with_fault("abort-after-checkpoint:tune")).await;
    let client = server.client();
    let (path, resumed, log) = run(&client, &spec).await;
    assert_eq!(failures(&server).await, 1, "the engine died once");
    assert!(log.contains("going on after epoch 1 of 4"), "{log}");
    for field in ["train_loss", "val_accuracy"] {
        let history = |report: &Value| -> Vec<Value> {
            report["epochs"].as_array().unwrap().iter().map(|epoch| epoch[field].clone()).collect()
        };
        assert_eq!(history(&resumed).len(), 4);
        assert_eq!(history(&resumed), history(&whole), "{field}");
    }
    assert_eq!(resumed["pruned"]["accuracy"], whole["pruned"]["accuracy"]);
    assert_eq!(resumed["kept"], whole["kept"]);
    assert_eq!(checkpoints(&server) + checkpoints(&whole_server), 0, "they went when their tasks had finished");
    client.delete(&path).await;
    assert_eq!(count_files(&server.data_folder().join("blobs/jobs")), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_that_was_killed_finds_the_same_candidates() {
    let spec = json!({
        "target": {"flops_reduction": 0.5}, "input": {"mean": 4.9, "std": 6.0}, "fine_tune": null,
        "encoder": {"configs": 128, "epochs": 1},
        "search": {"candidates": 400_000, "top_m": 6, "top_k": 1, "ranking": "similarity"}
    });
    let proposed = async |engine| {
        let server = server_with_checkpoints(engine).await;
        let client = server.client();
        let (path, _, log) = run(&client, &spec).await;
        let candidates = client.get(&format!("{path}/candidates")).await.expect(StatusCode::OK);
        (candidates["items"].clone(), log.contains("going on after"), failures(&server).await)
    };
    let (whole, has_resumed, crashes) = proposed(engine()).await;
    assert_eq!((has_resumed, crashes), (false, 0));
    let (resumed, has_resumed, crashes) = proposed(engine_with_fault("abort-after-checkpoint:search")).await;
    assert_eq!((has_resumed, crashes), (true, 1));
    assert_eq!(resumed, whole);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_checkpoint_is_gone_starts_the_task_over() {
    let spec = json!({
        "target": {"flops_reduction": 0.5}, "method": "global_l2", "input": {"mean": 4.9, "std": 6.0},
        "fine_tune": {"epochs": 2, "batch_size": 256}
    });
    let server = server_with_checkpoints(engine()).await;
    // Whatever is recorded is no blob by the time that the task is claimed.
    sqlx::query("alter table task alter column checkpoint set default 'jobs/nowhere'")
        .execute(server.queue().database().pool())
        .await
        .unwrap();
    let (_, report, log) = run(&server.client(), &spec).await;
    let tasks_without_their_blob: i64 =
        sqlx::query_scalar("select count(*) from task where checkpoint = 'jobs/nowhere'")
            .fetch_one(server.queue().database().pool())
            .await
            .unwrap();
    assert!(tasks_without_their_blob > 0, "the tasks were claimed with a checkpoint");
    assert!(!log.contains("going on after"), "{log}");
    assert_eq!(report["epochs"].as_array().unwrap().len(), 2);
}

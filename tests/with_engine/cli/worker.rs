//! `secateur worker`: a process that joins a server's workers.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::Duration;

use reqwest::StatusCode;
use rustix::process::{Pid, Signal, kill_process};

use super::secateur_with_engine;
use crate::harness::{Client, TestServer, count_files, eventually, file_part};

/// A worker process of a server; dropping it kills it the hard way.
struct Working {
    child: Child,
    scratch: tempfile::TempDir,
    /// Where it shows its metrics.
    metrics: Client,
}

impl Working {
    /// A worker that stays, with leases of an hour.
    fn join(server: &TestServer) -> Self {
        Self::join_with(server, &[])
    }

    fn join_with(server: &TestServer, more: &[&str]) -> Self {
        let data = server.data_folder();
        let scratch = tempfile::tempdir().unwrap();
        let mut child = secateur_with_engine()
            .args(["worker", "--lease", "3600", "--metrics-listen", "127.0.0.1:0"])
            .args(["--database-url", &server.database_url()])
            .args(more)
            .arg("--blobs")
            .arg(data.join("blobs"))
            .arg("--scratch")
            .arg(scratch.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let base = line.trim().strip_suffix("/metrics").unwrap_or_else(|| panic!("{line:?}"));
        Self { child, scratch, metrics: Client::new(base.to_owned()) }
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn submit(client: &Client, epochs: u32) -> String {
    let spec = serde_json::json!({
        "target": {"flops_reduction": 0.5},
        "method": "uniform",
        "input": {"mean": 4.9, "std": 6.0},
        "fine_tune": {"epochs": epochs}
    });
    let form = crate::harness::form(&spec).part("dataset", file_part("digits.npz"));
    let job = client.post_form("/v1/jobs", form).await.expect(StatusCode::ACCEPTED);
    format!("/v1/jobs/{}", job["id"].as_str().unwrap())
}

async fn wait_for(client: &Client, path: &str, field: &str, value: &str) {
    loop {
        let job = client.get(&format!("{path}?wait=1")).await.expect(StatusCode::OK);
        assert!(job["error"].is_null(), "{job}");
        if job[field] == value {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_does_the_servers_work_and_leaves_at_sigterm() {
    let server = TestServer::start().await;
    let client = server.client();
    let path = submit(&client, 1).await;
    let mut worker = Working::join(&server);
    wait_for(&client, &path, "status", "succeeded").await;
    let metrics = String::from_utf8(worker.metrics.get("/metrics").await.body).unwrap();
    for series in [
        r#"secateur_task_duration_seconds_count{outcome="finished",stage="tune"} 1"#,
        r#"secateur_engine_peak_memory_bytes_count{stage="tune"} 1"#,
        "secateur_worker_slots 1",
    ] {
        assert!(metrics.contains(series), "{series}: {metrics}");
    }
    assert!(!metrics.contains("secateur_tasks{"), "the figures of the queue are the server's");
    kill_process(Pid::from_child(&worker.child), Signal::TERM).unwrap();
    assert_eq!(worker.child.wait().unwrap().code(), Some(0));
    assert_eq!(count_files(worker.scratch.path()), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_to_end_when_idle_does_what_there_is_and_ends() {
    let server = TestServer::start().await;
    let client = server.client();
    let path = submit(&client, 1).await;
    let mut worker = Working::join_with(&server, &["--exit-when-idle", "2"]);
    let ended = tokio::task::spawn_blocking(move || worker.child.wait().unwrap()).await.unwrap();
    assert_eq!(ended.code(), Some(0));
    let job = client.get(&path).await.expect(StatusCode::OK);
    assert_eq!(job["status"], "succeeded");
    let enrolled: i64 = sqlx::query_scalar("select count(*) from worker").fetch_one(server.pool()).await.unwrap();
    assert_eq!(enrolled, 0, "it has signed off");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_gives_back_what_it_works_on_when_the_job_is_paused() {
    let server = TestServer::start().await;
    let client = server.client();
    let path = submit(&client, 20).await;
    let _worker = Working::join(&server);
    wait_for(&client, &path, "stage", "tune").await;
    client.post(&format!("{path}/pause")).await.expect(StatusCode::OK);
    eventually("the task is held", || async {
        let state: String =
            sqlx::query_scalar("select state from task where stage = 'tune'").fetch_one(server.pool()).await.unwrap();
        (state == "held").then_some(())
    })
    .await;
    client.post(&format!("{path}/resume")).await.expect(StatusCode::OK);
    wait_for(&client, &path, "status", "succeeded").await;
}

/// Its lease lasts an hour: the other worker is of the same machine and sees that the process is gone.
#[tokio::test(flavor = "multi_thread")]
async fn the_task_of_a_worker_that_was_killed_goes_to_another_of_the_machine_at_once() {
    let server = TestServer::start_with(|options| options.lease = Duration::from_hours(1)).await;
    let client = server.client();
    let path = submit(&client, 20).await;
    let first = Working::join(&server);
    wait_for(&client, &path, "stage", "tune").await;
    eventually("tuning moves", || async {
        let job = client.get(&path).await.expect(StatusCode::OK);
        job["progress"]["tune"]["done"].as_u64().filter(|done| *done > 0)
    })
    .await;
    drop(first);
    let _second = Working::join(&server);
    wait_for(&client, &path, "status", "succeeded").await;
    let counts: (i64, i64) = sqlx::query_as("select sum(failures)::int8, sum(attempt)::int8 - count(*) from task")
        .fetch_one(server.pool())
        .await
        .unwrap();
    assert_eq!(counts, (0, 1), "one task had a second attempt, and none has failed");
}

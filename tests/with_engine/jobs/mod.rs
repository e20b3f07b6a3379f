//! Whole jobs with the real engine.

mod cancel;
mod database_away;
mod faults;
mod judge;
mod prepared;
mod results;
mod resume;
mod reuse;
mod sandbox;
mod shares;
mod shutdown;

use reqwest::StatusCode;
use reqwest::multipart::{Form, Part};
use secateur::engine::EngineBinary;
use secateur::server::ServerOptions;
use serde_json::{Value, json};

use crate::harness::{Client, TestServer, eventually, file_part};

/// A server with one slot.
async fn server_with(engine: EngineBinary) -> TestServer {
    TestServer::start_with(|options| with_one_slot(options, engine)).await
}

fn with_one_slot(options: &mut ServerOptions, engine: EngineBinary) {
    options.engine = Some(engine);
    options.slots = 1;
    options.task_timeout = std::time::Duration::from_mins(5);
}

/// A spec for the digits that does not take long.
fn quick_spec(epochs: u32) -> Value {
    json!({
        "target": {"flops_reduction": 0.5},
        "method": "global_l2",
        "input": {"mean": 4.9, "std": 6.0},
        "fine_tune": {"epochs": epochs, "batch_size": 256}
    })
}

/// Submits an example with the digits and returns the job's path.
async fn submit(client: &Client, model: &str, spec: &Value) -> String {
    let form = Form::new()
        .part("model", file_part(model))
        .part("dataset", file_part("digits.npz"))
        .part("spec", Part::text(spec.to_string()));
    let job = client.post_form("/v1/jobs", form).await.expect(StatusCode::ACCEPTED);
    format!("/v1/jobs/{}", job["id"].as_str().unwrap())
}

/// Waits for the end of a job, however long it takes.
async fn wait_for_end(client: &Client, path: &str) -> Value {
    loop {
        let job = client.get(&format!("{path}?wait=30")).await.expect(StatusCode::OK);
        if ["succeeded", "failed", "cancelled"].contains(&job["status"].as_str().unwrap()) {
            return job;
        }
    }
}

/// Waits until a stage of a job has begun to move.
async fn wait_for_stage(client: &Client, path: &str, stage: &str) {
    eventually(&format!("stage {stage} begins"), || async {
        let job = client.get(path).await.expect(StatusCode::OK);
        assert!(job["error"].is_null(), "{job}");
        (job["stage"] == stage).then_some(())
    })
    .await;
}

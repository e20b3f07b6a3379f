//! What one job has prepared of a data set, in the hands of the next one, with the real engine.

use std::path::{Path, PathBuf};

use reqwest::StatusCode;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use super::{wait_for_end, with_one_slot};
use crate::harness::{Client, TestServer, cifar_part, count_files, file_part, idx_part, pictures_part, undecodable};
use crate::with_engine::engine;

const USED: &str =
    "the samples that an earlier job has prepared are used: 30 to train on, 12 to validate, 12 to test; 1 could not";
const CONVERTED: &str = "30 samples to train on, 12 to validate, 12 to test; 1 could not be read";

async fn server(prepared_cache_bytes: u64) -> TestServer {
    TestServer::start_with(|options| {
        with_one_slot(options, engine());
        options.prepared_cache_bytes = prepared_cache_bytes;
    })
    .await
}

/// What a job on the pictures said and found out.
struct Ran {
    path: String,
    log: String,
    report: Value,
}

impl Ran {
    /// What has to be the same whoever prepared the samples.
    fn findings(&self) -> Value {
        let report = &self.report;
        json!([report["data"], report["base"]["accuracy"], report["pruned"]["accuracy"], report["kept"]])
    }
}

async fn run(client: &Client, model: &str, change: Value) -> Ran {
    let mut spec = json!({
        "target": {"flops_reduction": 0.4},
        "method": "global_l2",
        "input_shape": [1, 8, 8],
        "input": {"mean": 128, "std": 60},
        "fine_tune": {"epochs": 1}
    });
    spec.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    let form = Form::new()
        .part("model", file_part(model))
        .part("dataset", pictures_part())
        .part("spec", Part::text(spec.to_string()));
    let job = client.post_form("/v1/jobs", form).await.expect(StatusCode::ACCEPTED);
    let path = format!("/v1/jobs/{}", job["id"].as_str().unwrap());
    let job = wait_for_end(client, &path).await;
    assert_eq!(job["status"], "succeeded", "{job}");
    let log = client.get(&format!("{path}/artifacts/log.txt")).await;
    let report = client.get(&format!("{path}/artifacts/report.json")).await.expect(StatusCode::OK);
    Ran { path, log: String::from_utf8(log.body).unwrap(), report }
}

/// The file of the samples that the next job is offered.
async fn offered(server: &TestServer) -> PathBuf {
    let blob: String = sqlx::query_scalar("select blob from prepared where fingerprint is not null")
        .fetch_one(server.pool())
        .await
        .unwrap();
    server.data_folder().join("blobs").join(blob)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_job_decodes_nothing_and_finds_the_same() {
    let server = server(1 << 30).await;
    let client = server.client();
    let first = run(&client, "vgg-digits.pt", json!({})).await;
    assert!(first.log.contains(CONVERTED) && !first.log.contains("an earlier job"), "{}", first.log);
    let source = &first.report["data"]["source"];
    assert_eq!(source["class_names"], json!(["cat", "dog", "owl"]));
    assert_eq!(source["first_bad"][0]["name"], "train/dog/broken.pgm");
    assert_eq!(client.delete(&first.path).await.status, StatusCode::NO_CONTENT);

    // Whoever decodes now fails.
    let dataset: String =
        sqlx::query_scalar("select blob from dataset where deleted_at is null").fetch_one(server.pool()).await.unwrap();
    let dataset = server.data_folder().join("blobs").join(dataset);
    std::fs::write(&dataset, undecodable(&std::fs::read(&dataset).unwrap())).unwrap();
    let second = run(&client, "vgg-digits.pt", json!({"name": "second"})).await;
    assert!(second.log.contains(USED), "{}", second.log);
    assert_eq!(second.findings(), first.findings());
    assert_eq!(count_files(&server.data_folder().join("blobs/prepared")), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_that_are_damaged_or_gone_are_prepared_again_and_the_job_goes_on() {
    let server = server(1 << 30).await;
    let client = server.client();
    let first = run(&client, "vgg-digits.pt", json!({})).await;

    let damaged = offered(&server).await;
    let mut bytes = std::fs::read(&damaged).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&damaged, bytes).unwrap();
    let second = run(&client, "vgg-digits.pt", json!({"name": "second"})).await;
    assert!(second.log.contains("are not used, since they are damaged; they are prepared again"), "{}", second.log);
    assert!(second.log.contains(CONVERTED));
    assert_eq!(second.findings(), first.findings());

    let gone = offered(&server).await;
    assert_ne!(gone, damaged);
    std::fs::remove_file(gone).unwrap();
    let third = run(&client, "vgg-digits.pt", json!({"name": "third"})).await;
    assert!(third.log.contains("are not used, since they are gone; they are prepared again"), "{}", third.log);
    assert_eq!(third.findings(), first.findings());

    let fourth = run(&client, "vgg-digits.pt", json!({"name": "fourth"})).await;
    assert!(fourth.log.contains(USED), "{}", fourth.log);
    assert_eq!(fourth.findings(), first.findings());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_input_shape_is_prepared_for_itself_and_another_model_of_the_same_is_not() {
    let server = server(1 << 30).await;
    let client = server.client();
    run(&client, "vgg-digits.pt", json!({})).await;
    let other = run(&client, "resnet20-digits.pt", json!({"input_shape": [1, 10, 12]})).await;
    assert!(!other.log.contains("an earlier job") && other.log.contains(CONVERTED), "{}", other.log);
    let same = run(&client, "resnet20-digits.pt", json!({"input_shape": [1, 8, 8]})).await;
    assert!(same.log.contains(USED), "{}", same.log);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_keeps_nothing_prepares_for_each_job() {
    let server = server(0).await;
    let client = server.client();
    for name in ["first", "second"] {
        let ran = run(&client, "vgg-digits.pt", json!({"name": name})).await;
        assert!(ran.log.contains(CONVERTED) && !ran.log.contains("an earlier job"), "{}", ran.log);
    }
    assert_eq!(count_files(&server.data_folder().join("blobs/prepared")), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_of_one_size_tell_a_scripted_model_its_input_shape() {
    let server = server(1 << 30).await;
    let client = server.client();
    let colour = Path::new(env!("CARGO_MANIFEST_DIR")).join("engine/tests/fixtures/families/branches.pt");
    let colour = Part::bytes(std::fs::read(colour).unwrap()).file_name("colour.pt");
    let spec = json!({"target": {"flops_reduction": 0.3}, "method": "uniform", "fine_tune": null}).to_string();
    for (model, dataset, shape) in
        [(file_part("vgg-digits.pt"), idx_part(), json!([[1, 20, 12]])), (colour, cifar_part(), json!([[3, 32, 32]]))]
    {
        let form = Form::new().part("model", model).part("dataset", dataset).text("spec", spec.clone());
        let job = client.post_form("/v1/jobs", form).await.expect(StatusCode::ACCEPTED);
        let job = wait_for_end(&client, &format!("/v1/jobs/{}", job["id"].as_str().unwrap())).await;
        assert_eq!(job["status"], "succeeded", "{job}");
        let imported: Value = sqlx::query_scalar(
            "select result -> 'input_shapes' from task where stage = 'import' order by job_id desc limit 1",
        )
        .fetch_one(server.pool())
        .await
        .unwrap();
        assert_eq!(imported, shape);
    }
}

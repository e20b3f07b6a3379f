//! What a job brings.

use reqwest::StatusCode;
use reqwest::multipart::{Form, Part};
use secateur::digest::Sha256;
use serde_json::{Value, json};

use super::{quick_spec, server_with, submit, wait_for_end};
use crate::harness::{Client, count_files, example, file_part};
use crate::with_engine::engine;

async fn artifact(client: &Client, path: &str, name: &str) -> Vec<u8> {
    let answer = client.get(&format!("{path}/artifacts/{name}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{name}");
    assert_eq!(answer.header("etag"), format!("\"{}\"", Sha256::of(&answer.body)));
    answer.body
}

async fn prune(model: &str) {
    let server = server_with(engine()).await;
    let client = server.client();
    let mut spec = quick_spec(1);
    // It is asked for at a failure only, so nothing is sent.
    spec["webhook"] = json!({"url": "https://ci.example/hook", "events": ["failed"]});
    let path = submit(&client, model, &spec).await;
    let job = wait_for_end(&client, &path).await;
    assert_eq!(job["status"], "succeeded", "{job}");

    let report: Value = serde_json::from_slice(&artifact(&client, &path, "report.json").await).unwrap();
    let page = client.get(&format!("{path}/artifacts/report.html")).await;
    assert_eq!((page.status, page.header("content-type")), (StatusCode::OK, "text/html; charset=utf-8"));
    assert_eq!(page.header("content-disposition"), "inline; filename=\"report.html\"");
    let policy = page.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none';") && policy.ends_with("; sandbox"), "{policy}");
    let page = String::from_utf8(page.body).unwrap();
    for text in [job["id"].as_str().unwrap(), report["model_sha256"].as_str().unwrap(), "Networks that were tried"] {
        assert!(page.contains(text), "{text}: {page}");
    }
    assert_eq!(job["spec"]["webhook"], spec["webhook"]);
    assert_eq!(report["spec"].get("webhook"), None, "engines and reports are not told of it");
    let removed = report["reduction"]["flops_reduction"].as_f64().unwrap();
    assert!((0.5..0.6).contains(&removed), "{removed} was removed, 0.5 was asked for");
    let macs = |network: &str| report[network]["macs"].as_f64().unwrap();
    assert!((1.0 - macs("pruned") / macs("base") - removed).abs() < 1e-9);
    assert!(report["equivalence"]["max_abs_diff"].as_f64() <= report["equivalence"]["tolerance"].as_f64());
    assert!(report["reload"]["max_abs_diff"].as_f64() <= report["reload"]["tolerance"].as_f64());
    assert_eq!(report["winner"], "global_l2");
    assert_eq!(report["epochs"].as_array().unwrap().len(), 1);
    let compute = &report["compute"];
    for whose in [compute, &compute["by_stage"]["tune"], &compute["plain"]] {
        assert_eq!(whose["epochs"], 1.0, "{compute}");
        assert!((whose["epochs_of_original"].as_f64().unwrap() - (1.0 - removed)).abs() < 1e-9, "{compute}");
        assert!(whose["seconds"].as_f64().unwrap() > 0.0, "{compute}");
    }
    assert!(!report["kept"].as_object().unwrap().is_empty());
    let original = std::fs::read(example(model)).unwrap();
    assert_eq!(report["model_sha256"], Sha256::of(&original).to_string());
    for stage in ["import", "graph", "search", "screen", "tune", "export"] {
        assert!(report["seconds"][stage].as_f64().unwrap() > 0.0, "{stage}: {}", report["seconds"]);
    }

    let pruned = artifact(&client, &path, "model.pt").await;
    assert_eq!(report["pruned"]["bytes"], pruned.len());
    assert!(pruned.len() < original.len());
    let uploaded = client.upload("/v1/models?input_shape=1,8,8", pruned).await.expect(StatusCode::CREATED);
    let again = client.get(&format!("/v1/models/{}?wait=60", uploaded["id"].as_str().unwrap())).await;
    let again = again.expect(StatusCode::OK);
    assert_eq!(again["summary"]["base"]["macs"], report["pruned"]["macs"], "the pruned file is a model too: {again}");
    for name in ["config.json", "graph.json"] {
        let _: Value = serde_json::from_slice(&artifact(&client, &path, name).await).unwrap();
    }
    let log = artifact(&client, &path, "log.txt").await;
    assert!(String::from_utf8_lossy(&log).contains("== import 0"));

    assert_eq!(job["result"]["pruned"]["macs"], report["pruned"]["macs"]);
    assert_eq!(job["best"]["stage"], "tune");
    let model = client.get(&format!("/v1/models/{}", job["model_id"].as_str().unwrap())).await;
    let summary = &model.expect(StatusCode::OK)["summary"];
    assert_eq!(summary["base"]["macs"], report["base"]["macs"]);
    assert_eq!(count_files(&server.data_folder().join("scratch")), 0, "scratch folders are removed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_traced_residual_network_is_pruned_end_to_end() {
    prune("resnet20-digits.pt").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scripted_plain_network_is_pruned_end_to_end() {
    prune("vgg-digits.pt").await;
}

/// Redoes the surgery outside of Secateur, from the original file and `kept` in the report, and compares every byte: no
/// code is shared, and without data nothing else changes a tensor.
async fn redo_surgery(model: &str) {
    let server = server_with(engine()).await;
    let client = server.client();
    let spec = json!({"target": {"flops_reduction": 0.5}, "input_shape": [1, 8, 8], "method": "global_l2"});
    let form = Form::new().part("model", file_part(model)).part("spec", Part::text(spec.to_string()));
    let job = client.post_form("/v1/jobs", form).await.expect(StatusCode::ACCEPTED);
    let path = format!("/v1/jobs/{}", job["id"].as_str().unwrap());
    let job = wait_for_end(&client, &path).await;
    assert_eq!(job["status"], "succeeded", "{job}");

    let folder = tempfile::tempdir().unwrap();
    for name in ["model.pt", "report.json"] {
        std::fs::write(folder.path().join(name), artifact(&client, &path, name).await).unwrap();
    }
    let output = std::process::Command::new("python3")
        .arg(example("redo_surgery.py"))
        .arg(example(model))
        .args([folder.path().join("model.pt"), folder.path().join("report.json")])
        .output()
        .expect("python3 is there: set-up needs it");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("tensors agree"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_surgery_on_a_traced_network_can_be_redone_from_the_report() {
    redo_surgery("resnet20-digits.pt").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_surgery_on_a_scripted_network_can_be_redone_from_the_report() {
    redo_surgery("vgg-digits.pt").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_data_a_network_is_pruned_and_not_tuned() {
    let server = server_with(engine()).await;
    let client = server.client();
    let spec = json!({"target": {"params_reduction": 0.4}, "input_shape": [1, 8, 8], "method": "uniform"});
    let form = crate::harness::form(&spec);
    let job = client.post_form("/v1/jobs", form).await.expect(StatusCode::ACCEPTED);
    let job = wait_for_end(&client, &format!("/v1/jobs/{}", job["id"].as_str().unwrap())).await;
    assert_eq!(job["status"], "succeeded", "{job}");
    assert_eq!(job["progress"].get("tune"), None);
    assert_eq!(job["result"]["pruned"]["accuracy"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_cannot_be_reached_fails_the_job_with_its_code() {
    let server = server_with(engine()).await;
    let client = server.client();
    let mut spec = quick_spec(1);
    spec["target"] = json!({"flops_reduction": 0.999});
    let path = submit(&client, "vgg-digits.pt", &spec).await;
    let job = wait_for_end(&client, &path).await;
    assert_eq!(job["status"], "failed");
    assert_eq!((&job["error"]["code"], &job["error"]["stage"]), (&"target_unreachable".into(), &"graph".into()));
    assert_eq!(job["result"], Value::Null);
}

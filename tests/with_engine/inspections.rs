//! What a worker finds out of a model by its upload alone, and with `POST /v1/models/{id}/inspect`.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::{TestServer, count_files, example};
use crate::with_engine::engine;

/// A server whose worker inspects.
async fn server() -> TestServer {
    TestServer::start_with(|options| {
        options.engine = Some(engine());
        options.slots = 1;
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_traced_model_is_inspected_by_its_upload() {
    let server = server().await;
    let client = server.client();
    let uploaded = client.upload_example("", "resnet20-digits.pt").await;
    let model = client.inspected(&uploaded).await;
    assert_eq!(model["inspection"], json!({"status": "succeeded", "error": null}));
    let summary = &model["summary"];
    assert_eq!(summary["inputs"], json!([[1, 8, 8]]));
    assert!(summary["base"]["macs"].as_u64().unwrap() > 1_000_000);
    assert!(summary["reachable"]["flops_reduction"].as_f64().unwrap() > 0.5);
    assert!(summary["groups"].as_array().unwrap().len() > 5);

    let jobs = client.get("/v1/jobs").await.expect(StatusCode::OK);
    assert_eq!(jobs["items"], json!([]), "an inspection is no job of the user's");
    assert_eq!(count_files(&server.data_folder().join("blobs/jobs")), 0, "nothing but the summary is kept");
    let again = client.upload_example("", "resnet20-digits.pt").await;
    assert_eq!(again["inspection"]["status"], "succeeded", "what is known is not looked for again");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_scripted_model_lacks_is_said_and_can_be_given() {
    let server = server().await;
    let client = server.client();
    let uploaded = client.upload_example("", "vgg-digits.pt").await;
    let model = client.inspected(&uploaded).await;
    assert_eq!((&model["inspection"]["status"], &model["summary"]), (&json!("failed"), &Value::Null));
    let error = &model["inspection"]["error"];
    assert_eq!(error["code"], "input_shape");
    assert!(error["hint"].as_str().unwrap().contains("input_shape"), "{error}");

    let path = format!("/v1/models/{}/inspect", model["id"].as_str().unwrap());
    client.post_json(&path, &json!({"input_shape": [0, 8, 8]})).await.problem(422, "invalid_spec");
    client.post_json(&path, &json!({"shape": [1, 8, 8]})).await.problem(400, "invalid_json");
    let asked = client.post_json(&path, &json!({"input_shape": [1, 8, 8]})).await.expect(StatusCode::ACCEPTED);
    assert_ne!(asked["inspection"]["status"], "failed");
    let model = client.inspected(&uploaded).await;
    assert_eq!(model["inspection"]["status"], "succeeded", "{model}");
    assert_eq!(model["summary"]["inputs"], json!([[1, 8, 8]]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shape_may_come_with_the_upload() {
    let server = server().await;
    let client = server.client();
    for (query, shape) in
        [("1,8,8", [1, 8, 8]), ("[1,16,16]", [1, 16, 16]), ("[[1,8,8]]", [1, 8, 8]), ("[1,8,8]", [1, 8, 8])]
    {
        let uploaded = client.upload_example(&format!("?input_shape={query}"), "vgg-digits.pt").await;
        let model = client.inspected(&uploaded).await;
        assert_eq!(model["summary"]["inputs"], json!([shape]), "{query}");
    }
    let uploaded = client.upload_example("?input_shape=3,8,8", "vgg-digits.pt").await;
    let model = client.inspected(&uploaded).await;
    assert_eq!(model["inspection"]["error"]["code"], "input_shape", "{model}");
    assert_eq!(model["summary"]["inputs"], json!([[1, 8, 8]]), "what was known stays");
    for wrong in ["8x8", "", "[1,8", "1.5,2"] {
        let bytes = std::fs::read(example("vgg-digits.pt")).unwrap();
        let answer = client.upload(&format!("/v1/models?input_shape={wrong}"), bytes).await;
        answer.problem(400, "invalid_parameter");
    }
}

//! What an upload alone tells of a model, and `POST /v1/models/{id}/inspect`.

use reqwest::StatusCode;
use secateur::job::JobError;
use secateur::queue::{Failure, Share};
use secateur_core::spec::{InputShape, InspectionSpec};
use secateur_core::stage::{Stage, Work};
use serde_json::{Value, json};

use crate::harness::{Client, Hand, TestServer, count_files, engine, example};

/// A server whose worker inspects.
async fn server() -> TestServer {
    TestServer::start_with(|options| {
        options.engine = Some(engine());
        options.slots = 1;
    })
    .await
}

async fn upload(client: &Client, query: &str, model: &str) -> Value {
    let bytes = std::fs::read(example(model)).unwrap();
    client.upload(&format!("/v1/models{query}"), bytes).await.expect(StatusCode::CREATED)
}

/// The model once its inspection has ended.
async fn inspected(client: &Client, model: &Value) -> Value {
    let path = format!("/v1/models/{}?wait=60", model["id"].as_str().unwrap());
    client.get(&path).await.expect(StatusCode::OK)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_traced_model_is_inspected_by_its_upload() {
    let server = server().await;
    let client = server.client();
    let uploaded = upload(&client, "", "resnet20-digits.pt").await;
    let model = inspected(&client, &uploaded).await;
    assert_eq!(model["inspection"], json!({"status": "succeeded", "error": null}));
    let summary = &model["summary"];
    assert_eq!(summary["inputs"], json!([[1, 8, 8]]));
    assert!(summary["base"]["macs"].as_u64().unwrap() > 1_000_000);
    assert!(summary["reachable"]["flops_reduction"].as_f64().unwrap() > 0.5);
    assert!(summary["groups"].as_array().unwrap().len() > 5);

    let jobs = client.get("/v1/jobs").await.expect(StatusCode::OK);
    assert_eq!(jobs["items"], json!([]), "an inspection is no job of the user's");
    assert_eq!(count_files(&server.data_folder().join("blobs/jobs")), 0, "nothing but the summary is kept");
    let again = upload(&client, "", "resnet20-digits.pt").await;
    assert_eq!(again["inspection"]["status"], "succeeded", "what is known is not looked for again");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_scripted_model_lacks_is_said_and_can_be_given() {
    let server = server().await;
    let client = server.client();
    let uploaded = upload(&client, "", "vgg-digits.pt").await;
    let model = inspected(&client, &uploaded).await;
    assert_eq!((&model["inspection"]["status"], &model["summary"]), (&json!("failed"), &Value::Null));
    let error = &model["inspection"]["error"];
    assert_eq!(error["code"], "input_shape");
    assert!(error["hint"].as_str().unwrap().contains("input_shape"), "{error}");

    let path = format!("/v1/models/{}/inspect", model["id"].as_str().unwrap());
    client.post_json(&path, &json!({"input_shape": [0, 8, 8]})).await.problem(422, "invalid_spec");
    client.post_json(&path, &json!({"shape": [1, 8, 8]})).await.problem(400, "invalid_json");
    let asked = client.post_json(&path, &json!({"input_shape": [1, 8, 8]})).await.expect(StatusCode::ACCEPTED);
    assert_ne!(asked["inspection"]["status"], "failed");
    let model = inspected(&client, &uploaded).await;
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
        let uploaded = upload(&client, &format!("?input_shape={query}"), "vgg-digits.pt").await;
        let model = inspected(&client, &uploaded).await;
        assert_eq!(model["summary"]["inputs"], json!([shape]), "{query}");
    }
    let uploaded = upload(&client, "?input_shape=3,8,8", "vgg-digits.pt").await;
    let model = inspected(&client, &uploaded).await;
    assert_eq!(model["inspection"]["error"]["code"], "input_shape", "{model}");
    assert_eq!(model["summary"]["inputs"], json!([[1, 8, 8]]), "what was known stays");
    for wrong in ["8x8", "", "[1,8", "1.5,2"] {
        let bytes = std::fs::read(example("vgg-digits.pt")).unwrap();
        let answer = client.upload(&format!("/v1/models?input_shape={wrong}"), bytes).await;
        answer.problem(400, "invalid_parameter");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn inspections_and_jobs_go_to_slots_of_their_own() {
    let server = TestServer::start().await;
    let client = server.client();
    client.submit().await;
    upload(&client, "", "resnet20-digits.pt").await;
    let hand = Hand::of(&server);
    assert_eq!(hand.claim_of(Share::Jobs).await.unwrap().stage, Stage::Import);
    assert!(hand.claim_of(Share::Jobs).await.is_none(), "a slot of jobs leaves the inspection");
    assert_eq!(hand.claim_of(Share::Inspections).await.unwrap().stage, Stage::Inspect);
    client.submit().await;
    assert!(hand.claim_of(Share::Inspections).await.is_none(), "and the slot of inspections the job");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_question_is_asked_once_and_another_one_takes_its_place() {
    let server = TestServer::start().await;
    let client = server.client();
    for _ in 0..3 {
        upload(&client, "?input_shape=1,8,8", "vgg-digits.pt").await;
    }
    let hand = Hand::of(&server);
    let first = hand.claim().await;
    assert!(hand.try_claim().await.is_none());
    upload(&client, "?input_shape=1,16,16", "vgg-digits.pt").await;
    let second = hand.claim().await;
    let asked = InspectionSpec { input_shape: Some(InputShape::One(vec![1, 16, 16])) };
    assert_eq!(second.plan.work, Work::Inspect(asked));
    assert_eq!(hand.finish(&first).await, secateur::queue::Written::Cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inspection_whose_engine_keeps_dying_fails_with_the_reason() {
    let server = TestServer::start().await;
    let client = server.client();
    let uploaded = upload(&client, "", "resnet20-digits.pt").await;
    let hand = Hand::of(&server);
    for _ in 0..3 {
        let task = hand.claim().await;
        let crash = Failure::Retryable(JobError::internal(Stage::Inspect, "The engine died of signal 6."));
        hand.queue.fail(&task.lease, 0, &crash, "").await.unwrap();
    }
    let model = inspected(&client, &uploaded).await;
    assert_eq!(model["inspection"]["status"], "failed");
    assert!(model["inspection"]["error"]["detail"].as_str().unwrap().contains("signal 6"), "{model}");
}

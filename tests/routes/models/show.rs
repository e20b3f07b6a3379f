//! `GET /v1/models/{id}` and `GET /v1/models`

use reqwest::StatusCode;
use serde_json::Value;

use crate::harness::{TestServer, example};

#[tokio::test(flavor = "multi_thread")]
async fn a_model_has_no_summary_before_its_import() {
    let server = TestServer::start().await;
    let client = server.client();
    let id = client.upload_model().await;
    let model = client.get(&format!("/v1/models/{id}")).await.expect(StatusCode::OK);
    assert_eq!((&model["id"], &model["summary"]), (&id.into(), &Value::Null));
    assert_eq!(model["inspection"], serde_json::json!({"status": "queued", "error": null}), "there is no worker");
    client.get("/v1/models/mdl_1").await.problem(404, "model_not_found");
    client.get(&format!("/v1/models/mdl_{}", "0".repeat(32))).await.problem(404, "model_not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn models_are_listed_newest_first_in_pages() {
    let server = TestServer::start().await;
    let client = server.client();
    let first = client.upload_model().await;
    let bytes = std::fs::read(example("resnet20-digits.pt")).unwrap();
    let second = client.upload("/v1/models", bytes).await.expect(StatusCode::CREATED);
    let page = client.get("/v1/models?limit=1").await.expect(StatusCode::OK);
    assert_eq!((&page["items"][0]["id"], &page["next"]), (&second["id"], &second["id"]));
    let page = client.get(&format!("/v1/models?limit=1&after={}", page["next"].as_str().unwrap())).await;
    let page = page.expect(StatusCode::OK);
    assert_eq!((&page["items"][0]["id"], &page["next"]), (&first.into(), &Value::Null));
    client.get("/v1/models?limit=9999").await.problem(400, "invalid_parameter");
}

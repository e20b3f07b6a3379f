//! `/v1/datasets`; what holds for uploads of any kind is tested with models.

use reqwest::StatusCode;
use reqwest::multipart::Form;
use serde_json::json;

use crate::harness::{TestServer, example, file_part};

#[tokio::test(flavor = "multi_thread")]
async fn a_data_set_tells_what_it_holds() {
    let server = TestServer::start().await;
    let client = server.client();
    let form = Form::new().part("file", file_part("digits.npz"));
    let answer = client.post_form("/v1/datasets", form).await;
    let dataset = answer.expect(StatusCode::CREATED);
    let id = dataset["id"].as_str().unwrap();
    assert!(id.starts_with("dst_"), "{id}");
    assert_eq!(answer.header("location"), format!("/v1/datasets/{id}"));
    assert_eq!(dataset["name"], "digits.npz");
    assert_eq!((&dataset["summary"]["format"], &dataset["summary"]["labelled"]), (&"npz".into(), &true.into()));
    assert_eq!(dataset["summary"]["classes"], 10);

    let shown = client.get(&format!("/v1/datasets/{id}")).await.expect(StatusCode::OK);
    assert_eq!(shown, dataset);
    let listed = client.get("/v1/datasets").await.expect(StatusCode::OK);
    assert_eq!(listed, json!({"items": [dataset], "next": null}));
    assert_eq!(client.upload_dataset().await, id, "the same bytes are the same data set");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_data_set_is_refused_with_its_own_code() {
    let server = TestServer::start().await;
    let client = server.client();
    client.upload("/v1/datasets", b"hello".to_vec()).await.problem(422, "invalid_dataset");
    let model = std::fs::read(example("vgg-digits.pt")).unwrap();
    client.upload("/v1/datasets", model).await.problem(422, "invalid_dataset");
    client.get("/v1/datasets/dst_1").await.problem(404, "dataset_not_found");
}

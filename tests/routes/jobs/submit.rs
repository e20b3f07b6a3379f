//! `POST /v1/jobs`

use reqwest::multipart::{Form, Part};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{TestServer, count_files, file_part, form, json_body, send};

fn spec() -> Value {
    json!({"name": "edge", "target": {"flops_reduction": 0.5}, "labels": {"team": "vision"}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_makes_a_job_whatever_the_order_of_its_parts() {
    let server = TestServer::start().await;
    let client = server.client();
    let model_first = form(&spec());
    let spec_first = Form::new()
        .text("spec", spec().to_string())
        .part("dataset", file_part("digits.npz"))
        .part("model", file_part("vgg-digits.pt"));
    for form in [model_first, spec_first] {
        let answer = client.post_form("/v1/jobs", form).await;
        let job = answer.expect(StatusCode::ACCEPTED);
        let id = job["id"].as_str().unwrap();
        assert!(id.starts_with("job_"), "{id}");
        assert_eq!(answer.header("location"), format!("/v1/jobs/{id}"));
        assert_eq!((&job["status"], &job["stage"]), (&"queued".into(), &"import".into()));
        assert_eq!((&job["name"], &job["labels"]["team"]), (&"edge".into(), &"vision".into()));
        assert_eq!(job["spec"]["method"], "sacp", "defaults are filled in");
        assert!(job["model_id"].as_str().unwrap().starts_with("mdl_"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn json_makes_a_job_of_what_was_uploaded_before() {
    let server = TestServer::start().await;
    let client = server.client();
    let (model_id, dataset_id) = (client.upload_model().await, client.upload_dataset().await);
    let body = json!({"model_id": model_id, "dataset_id": dataset_id, "target": {"params_reduction": 0.3}});
    let job = client.post_json("/v1/jobs", &body).await.expect(StatusCode::ACCEPTED);
    assert_eq!((&job["model_id"], &job["dataset_id"]), (&model_id.into(), &dataset_id.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_json_names_must_be_there() {
    let server = TestServer::start().await;
    let client = server.client();
    let model_id = client.upload_model().await;
    let nowhere = "0".repeat(32);
    let target = json!({"flops_reduction": 0.5});
    let post = |body: Value| {
        let client = client.clone();
        async move { client.post_json("/v1/jobs", &body).await }
    };
    post(json!({"model_id": format!("mdl_{nowhere}"), "target": target})).await.problem(404, "model_not_found");
    post(json!({"model_id": "resnet", "target": target})).await.problem(404, "model_not_found");
    let dataset = json!({"model_id": model_id, "dataset_id": format!("dst_{nowhere}"), "target": target});
    post(dataset).await.problem(404, "dataset_not_found");
    let missing = post(json!({"target": target})).await.problem(422, "invalid_spec");
    assert_eq!(missing["node"], "model_id");
    assert!(missing["hint"].as_str().unwrap().contains("/v1/models"));
    post(json!({"model_id": 7, "target": target})).await.problem(422, "invalid_spec");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_spec_is_refused_by_field_and_value() {
    let server = TestServer::start().await;
    let client = server.client();
    let model_id = client.upload_model().await;
    for (spec, node, word) in [
        (json!({"target": {"flops_reduction": 1.5}}), "target.flops_reduction", "1.5"),
        (json!({"target": {"flops_reduction": 0.5}, "colour": "red"}), "colour", "colour"),
        (json!({"target": {"flops_reduction": 0.5}, "fine_tune": {"epochs": 0}}), "fine_tune.epochs", "0"),
        (json!({}), "", "target"),
    ] {
        let mut body = spec;
        body["model_id"] = json!(model_id);
        let problem = client.post_json("/v1/jobs", &body).await.problem(422, "invalid_spec");
        assert_eq!(problem["node"].as_str().unwrap_or_default(), node, "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(word), "{problem}");
    }
    let nul = json!({"model_id": model_id, "name": "a\u{0}b", "target": {"flops_reduction": 0.5}});
    client.post_json("/v1/jobs", &nul).await.problem(422, "invalid_spec");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_cannot_be_read_is_told_apart() {
    let server = TestServer::start().await;
    let client = server.client();
    let post = || client.request(Method::POST, "/v1/jobs");
    send(post().header("content-type", "application/json").body("{\"model_id\":")).await.problem(400, "invalid_json");
    send(post().header("content-type", "application/json").body("[]")).await.problem(400, "invalid_json");
    send(post().body("x")).await.problem(415, "unsupported_media_type");
    send(post().header("content-type", "text/csv").body("x")).await.problem(415, "unsupported_media_type");
    send(post().header("content-type", "multipart/form-data").body("x")).await.problem(400, "invalid_multipart");
    let cut = "--b\r\ncontent-disposition: form-data; name=\"spec\"\r\n\r\n{";
    send(post().header("content-type", "multipart/form-data; boundary=b").body(cut))
        .await
        .problem(400, "invalid_multipart");
    let long = format!("{{\"name\": \"{}\"}}", "x".repeat(17 << 20));
    send(post().header("content-type", "application/json").body(long)).await.problem(413, "payload_too_large");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forms_parts_are_known_single_and_complete() {
    let server = TestServer::start().await;
    let client = server.client();
    let spec = spec().to_string();
    let no_model = Form::new().text("spec", spec.clone());
    let missing = client.post_form("/v1/jobs", no_model).await.problem(400, "missing_part");
    assert!(missing["detail"].as_str().unwrap().contains("`model`"));
    let no_spec = Form::new().part("model", file_part("vgg-digits.pt"));
    client.post_form("/v1/jobs", no_spec).await.problem(400, "missing_part");
    let unknown = form(&json!({"target": {"flops_reduction": 0.5}})).text("weights", "x");
    let unknown = client.post_form("/v1/jobs", unknown).await.problem(400, "invalid_multipart");
    assert!(unknown["detail"].as_str().unwrap().contains("`weights`"));
    let twice = Form::new().text("spec", spec.clone()).text("spec", spec);
    client.post_form("/v1/jobs", twice).await.problem(400, "invalid_multipart");
    let not_json = Form::new().text("spec", "{").part("model", file_part("vgg-digits.pt"));
    client.post_form("/v1/jobs", not_json).await.problem(400, "invalid_json");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_no_model_or_no_data_set_is_refused_and_not_kept() {
    let server = TestServer::start().await;
    let client = server.client();
    let spec = spec().to_string();
    let not_a_model = Form::new().text("spec", spec.clone()).part("model", Part::bytes(b"hello".to_vec()));
    client.post_form("/v1/jobs", not_a_model).await.problem(422, "not_torchscript");
    let not_a_dataset = Form::new()
        .text("spec", spec)
        .part("model", file_part("vgg-digits.pt"))
        .part("dataset", Part::bytes(b"hello".to_vec()));
    client.post_form("/v1/jobs", not_a_dataset).await.problem(422, "invalid_dataset");
    assert_eq!(count_files(&server.data_folder().join("staging")), 0);
    assert_eq!(count_files(&server.data_folder().join("blobs/datasets")), 0);
    let jobs = client.get("/v1/jobs").await.expect(StatusCode::OK);
    assert_eq!(jobs["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spec_that_cannot_fit_its_data_set_is_refused_at_once() {
    let server = TestServer::start().await;
    let client = server.client();
    let spec = json!({"target": {"flops_reduction": 0.5}, "input_shape": [3, 224, 224]});
    let form = form(&spec).part("dataset", file_part("digits.npz"));
    let problem = client.post_form("/v1/jobs", form).await.problem(422, "dataset_mismatch");
    assert_eq!(problem["node"], "input_shape");

    let (model_id, dataset_id) = (client.upload_model().await, client.upload_dataset().await);
    let body = json!({"model_id": model_id, "dataset_id": dataset_id, "target": {"flops_reduction": 0.5},
                      "input_shape": [3, 224, 224]});
    send(json_body(client.request(Method::POST, "/v1/jobs"), &body)).await.problem(422, "dataset_mismatch");
}

//! `POST /v1/models`; what holds for uploads of any kind is tested here.

use std::io::Write;
use std::net::TcpStream;

use reqwest::multipart::{Form, Part};
use reqwest::{Method, StatusCode};
use secateur::digest::Sha256;

use crate::harness::{TestServer, count_files, eventually, example, file_part, send};

#[tokio::test(flavor = "multi_thread")]
async fn a_raw_body_and_a_form_give_the_same_model() {
    let server = TestServer::start().await;
    let client = server.client();
    let bytes = std::fs::read(example("vgg-digits.pt")).unwrap();
    let raw = client.upload("/v1/models?name=vgg", bytes.clone()).await;
    let model = raw.expect(StatusCode::CREATED);
    let id = model["id"].as_str().unwrap();
    assert!(id.starts_with("mdl_"), "{id}");
    assert_eq!(raw.header("location"), format!("/v1/models/{id}"));
    assert_eq!((&model["name"], &model["bytes"]), (&"vgg".into(), &bytes.len().into()));
    assert_eq!(model["sha256"], Sha256::of(&bytes).to_string());

    let form = Form::new().part("file", file_part("vgg-digits.pt"));
    let again = client.post_form("/v1/models", form).await.expect(StatusCode::CREATED);
    assert_eq!(again, model);
    assert_eq!(count_files(&server.data_folder().join("blobs/models")), 1);
    assert_eq!(count_files(&server.data_folder().join("staging")), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_model_is_refused_with_its_own_code() {
    let server = TestServer::start().await;
    let client = server.client();
    let problem = client.upload("/v1/models", b"hello".to_vec()).await.problem(422, "not_torchscript");
    assert!(!problem["detail"].as_str().unwrap().is_empty());
    client.upload("/v1/models", Vec::new()).await.problem(422, "not_torchscript");
    let npz = std::fs::read(example("digits.npz")).unwrap();
    client.upload("/v1/models", npz).await.problem(422, "not_torchscript");
    let mut cut = std::fs::read(example("vgg-digits.pt")).unwrap();
    cut.truncate(cut.len() / 2);
    let answer = client.upload("/v1/models", cut).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(count_files(&server.data_folder().join("blobs/models")), 0);
    assert_eq!(count_files(&server.data_folder().join("staging")), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_another_kind_or_without_its_part_is_refused() {
    let server = TestServer::start().await;
    let client = server.client();
    let json = client.request(Method::POST, "/v1/models").header("content-type", "application/json").body("{}");
    send(json).await.problem(415, "unsupported_media_type");
    client.post_form("/v1/models", Form::new().text("model", "x")).await.problem(400, "invalid_multipart");
    let empty = client.request(Method::POST, "/v1/models");
    let empty = empty.header("content-type", "multipart/form-data; boundary=b").body("--b--\r\n");
    send(empty).await.problem(400, "missing_part");
    let name = "%00";
    client.upload(&format!("/v1/models?name={name}"), b"x".to_vec()).await.problem(400, "invalid_parameter");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_long_is_refused_announced_or_not() {
    let server = TestServer::start_with(|options| options.max_upload_bytes = 1000).await;
    let client = server.client();
    let problem = client.upload("/v1/models", vec![0; 1001]).await.problem(413, "payload_too_large");
    assert!(problem["detail"].as_str().unwrap().contains("1000"));
    let pieces = futures::stream::iter((0..100).map(|_| Ok::<_, std::io::Error>(vec![0_u8; 100])));
    let chunked = client
        .request(Method::POST, "/v1/models")
        .header("content-type", "application/octet-stream")
        .body(reqwest::Body::wrap_stream(pieces));
    send(chunked).await.problem(413, "payload_too_large");
    let form = Form::new().part("file", Part::bytes(vec![0; 1001]));
    client.post_form("/v1/models", form).await.problem(413, "payload_too_large");
    assert_eq!(count_files(&server.data_folder().join("staging")), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_without_the_reserve_takes_no_uploads() {
    let server = TestServer::start_with(|options| options.reserve_bytes = u64::MAX).await;
    let bytes = std::fs::read(example("vgg-digits.pt")).unwrap();
    server.client().upload("/v1/models", bytes).await.problem(507, "storage_full");
    assert_eq!(count_files(&server.data_folder().join("staging")), 0);
    assert_eq!(count_files(&server.data_folder().join("blobs/models")), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_hangs_up_leaves_nothing() {
    let server = TestServer::start().await;
    let staging = server.data_folder().join("staging");
    let mut connection = TcpStream::connect(server.address()).unwrap();
    let head = "POST /v1/models HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/octet-stream\r\n\
                content-length: 1000000\r\n\r\n";
    connection.write_all(head.as_bytes()).unwrap();
    connection.write_all(&[0; 1000]).unwrap();
    eventually("the upload begins", || async { (count_files(&staging) == 1).then_some(()) }).await;
    drop(connection);
    eventually("its file is gone", || async { (count_files(&staging) == 0).then_some(()) }).await;
    assert_eq!(count_files(&server.data_folder().join("blobs/models")), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_server_left_in_staging_is_gone_after_the_start() {
    let mut server = TestServer::start().await;
    let staging = server.data_folder().join("staging");
    server.stop().await;
    std::fs::write(staging.join("half"), b"x").unwrap();
    server.restart().await;
    assert_eq!(count_files(&staging), 0);
}

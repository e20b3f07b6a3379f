//! `GET /v1/jobs/{id}/artifacts` and `…/artifacts/{name}`

use reqwest::{Method, StatusCode};
use secateur::digest::Sha256;
use secateur_core::stage::Stage;

use crate::harness::{Answer, Client, Hand, TestServer, send};

/// What the hand writes into the pruned model.
const MODEL: &[u8] = b"export 0 pruned.pt";

async fn finished_job(server: &TestServer) -> (Client, String) {
    let client = server.client();
    let id = client.submit().await;
    Hand::of(server).finish_all().await;
    (client, format!("/v1/jobs/{id}/artifacts"))
}

async fn get_with(client: &Client, path: &str, header: &'static str, value: &str) -> Answer {
    send(client.request(Method::GET, path).header(header, value)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_job_offers_every_file_with_its_digest() {
    let server = TestServer::start().await;
    let (client, path) = finished_job(&server).await;
    let list = client.get(&path).await.expect(StatusCode::OK);
    let items = list["items"].as_array().unwrap();
    let names: Vec<&str> = items.iter().map(|item| item["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["graph.json", "config.json", "model.pt", "report.json", "log.txt"]);
    for item in items {
        let file = client.get(item["url"].as_str().unwrap()).await;
        assert_eq!(file.status, StatusCode::OK);
        assert_eq!(item["bytes"], file.body.len());
        assert_eq!(item["sha256"], Sha256::of(&file.body).to_string());
        assert_eq!(file.header("etag"), format!("\"{}\"", item["sha256"].as_str().unwrap()));
        assert_eq!(file.header("content-type"), item["content_type"].as_str().unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_model_is_not_offered_before_it_was_verified() {
    let server = TestServer::start().await;
    let client = server.client();
    let id = client.submit().await;
    let hand = Hand::of(&server);
    let verify = hand.claim_at(Stage::Verify).await;
    let path = format!("/v1/jobs/{id}/artifacts/model.pt");
    let problem = client.get(&path).await.problem(404, "artifact_not_found");
    assert!(problem["hint"].as_str().unwrap().contains("/artifacts"));
    hand.finish(&verify).await;
    assert_eq!(client.get(&path).await.body, MODEL);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_serves_what_a_bucket_would_redirect() {
    let server = TestServer::start().await;
    let (client, path) = finished_job(&server).await;
    let answer = client.get(&format!("{path}/model.pt?presigned=true")).await;
    assert_eq!((answer.status, answer.body.as_slice()), (StatusCode::OK, MODEL));
    let problem = client.get(&format!("{path}/model.pt?presigned=yes")).await.problem(400, "invalid_parameter");
    assert!(problem["detail"].as_str().unwrap().contains("yes"), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_are_served_as_asked_for() {
    let server = TestServer::start().await;
    let (client, path) = finished_job(&server).await;
    let model = format!("{path}/model.pt");
    let whole = client.get(&model).await;
    assert_eq!((whole.body.as_slice(), whole.header("content-length")), (MODEL, "18"));
    assert_eq!(whole.header("accept-ranges"), "bytes");
    for (range, part, content_range) in [
        ("bytes=0-5", &MODEL[..6], "bytes 0-5/18"),
        ("bytes=9-", &MODEL[9..], "bytes 9-17/18"),
        ("bytes=-2", &MODEL[16..], "bytes 16-17/18"),
    ] {
        let answer = get_with(&client, &model, "range", range).await;
        assert_eq!(answer.status, StatusCode::PARTIAL_CONTENT);
        assert_eq!((answer.body.as_slice(), answer.header("content-range")), (part, content_range));
    }
    let outside = get_with(&client, &model, "range", "bytes=18-").await;
    outside.problem(416, "range_not_satisfiable");
    assert_eq!(outside.header("content-range"), "bytes */18");
    let log = get_with(&client, &format!("{path}/log.txt"), "range", "bytes=0-1").await;
    assert_eq!((log.status, log.body.as_slice()), (StatusCode::PARTIAL_CONTENT, b"==".as_slice()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_has_the_file_is_not_sent_it_again() {
    let server = TestServer::start().await;
    let (client, path) = finished_job(&server).await;
    let model = format!("{path}/model.pt");
    let etag = client.get(&model).await.header("etag").to_owned();
    let answer = get_with(&client, &model, "if-none-match", &etag).await;
    assert_eq!((answer.status, answer.body.len()), (StatusCode::NOT_MODIFIED, 0));
    assert_eq!(answer.header("etag"), etag);
    let answer = get_with(&client, &model, "if-none-match", "\"other\"").await;
    assert_eq!(answer.status, StatusCode::OK);
    let head = send(client.request(Method::HEAD, &model)).await;
    assert_eq!((head.status, head.header("content-length")), (StatusCode::OK, "18"));
}

#[tokio::test(flavor = "multi_thread")]
async fn other_names_are_not_found_whatever_they_look_like() {
    let server = TestServer::start().await;
    let (client, path) = finished_job(&server).await;
    for name in ["weights.safetensors", "nothing", "..%2f..%2flock", "%00"] {
        client.get(&format!("{path}/{name}")).await.problem(404, "artifact_not_found");
    }
}

/// A disk that rots must not look like a good download.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_artifact_breaks_off_before_its_end() {
    let server = TestServer::start().await;
    let client = server.client();
    let id = client.submit().await;
    Hand::of(&server).finish_all().await;
    let blob = server.data_folder().join(format!("blobs/jobs/{id}/verify/0/1/report.json"));
    let mut bytes = std::fs::read(&blob).unwrap();
    bytes[3] ^= 1;
    std::fs::write(&blob, bytes).unwrap();
    let request = client.request(Method::GET, &format!("/v1/jobs/{id}/artifacts/report.json"));
    // A short one breaks off before its head is sent.
    if let Ok(response) = request.send().await {
        response.bytes().await.unwrap_err();
    }
}

//! What holds for every request.

use reqwest::{Method, StatusCode};

use crate::harness::{TestServer, send};

#[tokio::test(flavor = "multi_thread")]
async fn health_and_readiness_are_ok() {
    let server = TestServer::start().await;
    let client = server.client();
    assert_eq!(client.get("/healthz").await.expect(StatusCode::OK)["status"], "ok");
    assert_eq!(client.get("/readyz").await.expect(StatusCode::OK)["status"], "ready");
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_routes_and_methods_are_problems() {
    let server = TestServer::start().await;
    let client = server.client();
    client.get("/v2/jobs").await.problem(404, "route_not_found");
    let put = client.request(Method::PUT, "/v1/jobs");
    let answer = send(put).await;
    answer.problem(405, "method_not_allowed");
    assert!(answer.header("allow").contains("POST"), "{:?}", answer.headers);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_id_is_kept_when_it_is_usable_and_replaced_when_not() {
    let server = TestServer::start().await;
    let client = server.client();
    let with_id = |id: &str| send(client.request(Method::GET, "/healthz").header("x-request-id", id.to_owned()));
    assert_eq!(with_id("abc-1").await.header("x-request-id"), "abc-1");
    assert!(with_id(&"a".repeat(1000)).await.header("x-request-id").starts_with("req_"));
    assert!(client.get("/healthz").await.header("x-request-id").starts_with("req_"));
}

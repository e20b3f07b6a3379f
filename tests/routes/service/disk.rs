//! A disk without its reserve.

use reqwest::StatusCode;

use crate::harness::TestServer;

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_a_full_disk_lives_and_is_not_ready() {
    let server = TestServer::start_with(|options| options.reserve_bytes = u64::MAX).await;
    let client = server.client();
    client.get("/healthz").await.expect(StatusCode::OK);
    let problem = client.get("/readyz").await.problem(503, "disk_full");
    assert_eq!(problem["disk"]["reserve_bytes"], u64::MAX);
    assert!(problem["disk"]["free_bytes"].as_u64().unwrap() < u64::MAX);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_room_says_how_much() {
    let server = TestServer::start_with(|options| options.reserve_bytes = 1).await;
    let ready = server.client().get("/readyz").await.expect(StatusCode::OK);
    assert_eq!((&ready["status"], &ready["disk"]["reserve_bytes"]), (&"ready".into(), &1.into()));
    assert!(ready["disk"]["free_bytes"].as_u64().unwrap() > 1);
}

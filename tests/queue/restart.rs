//! A job survives the server.

use reqwest::StatusCode;
use secateur_core::stage::Stage;

use crate::harness::{Hand, TestServer};

#[tokio::test(flavor = "multi_thread")]
async fn a_job_goes_on_after_a_restart_where_it_was() {
    let mut server = TestServer::start_with_own_postgres(|_| {}).await;
    let id = server.client().submit().await;
    let hand = Hand::of(&server);
    let graph = hand.claim_at(Stage::Graph).await;
    hand.finish(&graph).await;
    drop(hand);
    server.restart().await;

    let client = server.client();
    let job = client.get(&format!("/v1/jobs/{id}")).await.expect(StatusCode::OK);
    assert_eq!((&job["status"], &job["stage"]), (&"running".into(), &"search".into()));
    Hand::of(&server).finish_all().await;
    let job = client.get(&format!("/v1/jobs/{id}")).await.expect(StatusCode::OK);
    assert_eq!(job["status"], "succeeded");
    assert_eq!(job["result"]["winner"], "uniform");
}

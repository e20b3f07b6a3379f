//! `GET /v1/jobs/{id}/candidates`

use reqwest::StatusCode;
use secateur_core::stage::Stage;

use crate::harness::{Hand, TestServer};

#[tokio::test(flavor = "multi_thread")]
async fn candidates_appear_with_the_search_and_gain_what_is_measured() {
    let server = TestServer::start().await;
    let client = server.client();
    let path = format!("/v1/jobs/{}/candidates", client.submit().await);
    let page = client.get(&path).await.expect(StatusCode::OK);
    assert_eq!(page["items"].as_array().unwrap().len(), 0, "nothing is proposed before the search");

    let hand = Hand::of(&server);
    let screen = hand.claim_at(Stage::Screen).await;
    let page = client.get(&path).await.expect(StatusCode::OK);
    assert_eq!(page["items"][1]["origin"], "uniform");
    assert_eq!(page["items"][1]["screened_accuracy"], serde_json::Value::Null);

    hand.finish(&screen).await;
    hand.finish_all().await;
    let page = client.get(&path).await.expect(StatusCode::OK);
    assert_eq!(page["items"][1]["screened_accuracy"], 0.6);
    assert_eq!(page["items"][1]["macs"], 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn candidates_come_in_pages() {
    let server = TestServer::start().await;
    let client = server.client();
    let path = format!("/v1/jobs/{}/candidates", client.submit().await);
    Hand::of(&server).finish_all().await;
    let first = client.get(&format!("{path}?limit=1")).await.expect(StatusCode::OK);
    assert_eq!((&first["items"][0]["index"], &first["next"]), (&0.into(), &0.into()));
    let second = client.get(&format!("{path}?limit=1&after=0")).await.expect(StatusCode::OK);
    assert_eq!((&second["items"][0]["index"], &second["next"]), (&1.into(), &serde_json::Value::Null));
    client.get(&format!("{path}?after=first")).await.problem(400, "invalid_parameter");
    client.get(&format!("/v1/jobs/job_{}/candidates", "0".repeat(32))).await.problem(404, "job_not_found");
}

//! `GET /v1/jobs`

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::TestServer;

fn ids(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().unwrap();
    items.iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_go_from_the_newest_to_the_oldest_without_gaps_or_repeats() {
    let server = TestServer::start().await;
    let client = server.client();
    let mut submitted = Vec::new();
    for _ in 0..5 {
        submitted.push(client.submit().await);
    }
    submitted.reverse();
    let mut seen = Vec::new();
    let mut path = "/v1/jobs?limit=2".to_owned();
    loop {
        let page = client.get(&path).await.expect(StatusCode::OK);
        seen.extend(ids(&page));
        match page["next"].as_str() {
            Some(next) => path = format!("/v1/jobs?limit=2&after={next}"),
            None => break,
        }
    }
    assert_eq!(seen, submitted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_filters() {
    let server = TestServer::start().await;
    let client = server.client();
    let (first, second) = (client.submit().await, client.submit().await);
    client.post(&format!("/v1/jobs/{first}/cancel")).await.expect(StatusCode::OK);
    let cancelled = client.get("/v1/jobs?status=cancelled").await.expect(StatusCode::OK);
    assert_eq!(ids(&cancelled), [first]);
    let queued = client.get("/v1/jobs?status=queued").await.expect(StatusCode::OK);
    assert_eq!(ids(&queued), [second]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_filters_by_its_key_or_by_key_and_value() {
    let server = TestServer::start().await;
    let client = server.client();
    let mut submitted = Vec::new();
    for labels in [json!({"team": "vision"}), json!({"team": "a:b", "run": "2"}), json!({})] {
        submitted.push(client.submit_with(json!({"labels": labels})).await);
    }
    let [vision, colon, _] = submitted.as_slice() else { unreachable!("three were submitted") };
    for (label, expected) in [
        ("team:vision", vec![vision]),
        ("team:a:b", vec![colon]),
        ("team", vec![colon, vision]),
        ("run:1", vec![]),
        ("colour", vec![]),
    ] {
        let page = client.get(&format!("/v1/jobs?label={label}")).await.expect(StatusCode::OK);
        assert_eq!(ids(&page).iter().collect::<Vec<_>>(), expected, "{label}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_values_are_named_and_unknown_parameters_ignored() {
    let server = TestServer::start().await;
    let client = server.client();
    for (query, name) in [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=x", "limit"),
        ("after=7", "after"),
        ("status=done", "status"),
        ("label=:red", "label"),
    ] {
        let problem = client.get(&format!("/v1/jobs?{query}")).await.problem(400, "invalid_parameter");
        assert!(problem["detail"].as_str().unwrap().contains(&format!("`{name}`")), "{problem}");
    }
    client.get("/v1/jobs?colour=red").await.expect(StatusCode::OK);
}

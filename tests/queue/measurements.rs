//! What one job measures the next one knows.

use std::sync::Arc;

use reqwest::StatusCode;
use secateur_core::search::ranking::sensitivity::Sensitivity;
use secateur_core::stage::{Stage, Work};
use serde_json::{Value, json};

use super::{count_tasks, finish_at_once};
use crate::harness::{Client, Hand, TestServer};

async fn job(client: &Client, id: &str) -> Value {
    client.get(&format!("/v1/jobs/{id}")).await.expect(StatusCode::OK)
}

async fn count_measurements(hand: &Hand) -> i64 {
    sqlx::query_scalar("select count(*) from measurement").fetch_one(hand.queue.database().pool()).await.unwrap()
}

/// The sensitivities that the next search is given.
async fn given_to_the_search(hand: &Hand) -> Vec<Sensitivity> {
    match hand.claim_at(Stage::Search).await.plan.work {
        Work::Search(work) => work.sensitivities,
        other => panic!("{other:?} in the search stage"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_job_passes_over_what_the_first_has_measured() {
    let server = TestServer::start().await;
    let client = server.client();
    let hand = Hand::of(&server);
    client.submit_sacp(json!({})).await;
    hand.finish_all().await;
    assert_eq!(count_measurements(&hand).await, 3 + 2, "three sensitivities and two screened candidates");
    let (sensitivity, screen) = (count_tasks(&hand, Stage::Sensitivity).await, count_tasks(&hand, Stage::Screen).await);

    let second = client.submit_sacp(json!({"target": {"flops_reduction": 0.7}})).await;
    hand.finish_all().await;
    let job = job(&client, &second).await;
    assert_eq!(job["status"], "succeeded", "{job}");
    assert_eq!(count_tasks(&hand, Stage::Sensitivity).await, sensitivity);
    assert_eq!(count_tasks(&hand, Stage::Screen).await, screen);
    let progress = &job["progress"]["sensitivity"];
    assert_eq!((&progress["done"], &progress["total"], &progress["reused"]), (&3.into(), &3.into(), &3.into()));
    assert_eq!(job["progress"]["screen"]["reused"], 2);
    let events = client.get(&format!("/v1/jobs/{second}/events?limit=200")).await.expect(StatusCode::OK);
    let reused: Vec<&Value> =
        events["items"].as_array().unwrap().iter().filter(|event| event["type"] == "reused").collect();
    let data = &reused[0]["data"];
    assert_eq!((&data["stage"], &data["measurements"]), (&"sensitivity".into(), &3.into()));
    // A hand computes for a quarter of a second at each task.
    let saved: Vec<f64> = reused.iter().map(|event| event["data"]["saved_s"].as_f64().unwrap()).collect();
    assert!(saved.iter().all(|seconds| *seconds > 0.0), "{saved:?}");
    assert_eq!(job["saved_s"].as_f64().unwrap(), saved.iter().sum::<f64>());
    let candidates = client.get(&format!("/v1/jobs/{second}/candidates")).await.expect(StatusCode::OK);
    assert_eq!(candidates["items"][1]["screened_accuracy"], 0.6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_with_another_scaling_or_seed_measures_for_itself() {
    let server = TestServer::start().await;
    let client = server.client();
    let mut hand = Hand::of(&server);
    client.submit_sacp(json!({})).await;
    hand.finish_all().await;
    hand.divergence = 0.25;
    for change in [json!({"seed": 1}), json!({"input": {"mean": 4.9, "std": 6.0}})] {
        let id = client.submit_sacp(change.clone()).await;
        let given = given_to_the_search(&hand).await;
        assert!(given.iter().all(|measured| measured.divergence == 0.25), "{change}: {given:?}");
        client.post(&format!("/v1/jobs/{id}/cancel")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_jobs_that_measure_the_same_at_once_keep_it_once() {
    let server = TestServer::start().await;
    let client = server.client();
    let hand = Arc::new(Hand::of(&server));
    client.submit_sacp(json!({"name": "first"})).await;
    let first = hand.claim_at(Stage::Sensitivity).await;
    client.submit_sacp(json!({"name": "second"})).await;
    let second = hand.claim_at(Stage::Sensitivity).await;

    finish_at_once(&hand, &first, second).await;
    assert_eq!(count_measurements(&hand).await, 3);
    hand.finish_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn measurements_go_with_their_model_or_data_set() {
    for delete in ["delete from model", "delete from dataset"] {
        let server = TestServer::start().await;
        let client = server.client();
        let hand = Hand::of(&server);
        let id = client.submit_sacp(json!({})).await;
        hand.finish_all().await;
        client.delete(&format!("/v1/jobs/{id}")).await;
        assert!(count_measurements(&hand).await > 0, "they outlive the job");
        sqlx::query(delete).execute(hand.queue.database().pool()).await.unwrap();
        assert_eq!(count_measurements(&hand).await, 0, "{delete}");
    }
}

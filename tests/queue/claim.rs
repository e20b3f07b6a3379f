//! Who gets which task.

use std::collections::HashSet;
use std::sync::Arc;

use secateur_core::stage::Stage;
use secateur_core::stage::import::{DATASET, DATASET_SUMMARY};
use serde_json::json;

use crate::harness::{Hand, TestServer};

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_job_is_served_first() {
    let server = TestServer::start().await;
    let client = server.client();
    let (older, newer) = (client.submit().await, client.submit().await);
    let hand = Hand::of(&server);
    assert_eq!(hand.claim().await.lease.job.to_string(), older);
    assert_eq!(hand.claim().await.lease.job.to_string(), newer);
    assert!(hand.try_claim().await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_task_goes_to_two_workers_that_claim_at_once() {
    let server = TestServer::start().await;
    let client = server.client();
    for _ in 0..8 {
        client.submit().await;
    }
    let hand = Arc::new(Hand::of(&server));
    let claims: Vec<_> = (0..8)
        .map(|_| {
            let hand = hand.clone();
            tokio::spawn(async move { hand.try_claim().await })
        })
        .collect();
    let mut tasks = HashSet::new();
    for claim in claims {
        let claimed = claim.await.unwrap().expect("there is one for everybody");
        assert!(tasks.insert(claimed.lease.task), "{:?} was claimed twice", claimed.lease);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_while_the_jobs_row_is_locked_does_not_wait() {
    let server = TestServer::start().await;
    server.client().submit().await;
    let hand = Hand::of(&server);
    let mut other = hand.queue.database().begin().await.unwrap();
    sqlx::query("select id from job for update").execute(&mut *other).await.unwrap();
    assert!(hand.try_claim().await.is_none(), "the first claim of a job must lock it");
    other.rollback().await.unwrap();
    assert_eq!(hand.claim().await.stage, Stage::Import);
}

#[tokio::test(flavor = "multi_thread")]
async fn inputs_are_the_blobs_of_what_was_recorded() {
    let server = TestServer::start().await;
    server.client().submit().await;
    let hand = Hand::of(&server);
    let import = hand.claim().await;
    assert!(import.inputs[0].blob.as_str().starts_with("models/"), "{:?}", import.inputs);
    hand.finish(&import).await;
    let graph = hand.claim().await;
    let expected = format!("jobs/{}/import/0/1/graph.json", graph.lease.job);
    assert_eq!(graph.inputs[0].blob.as_str(), expected);
}

/// With it the engine need not read the whole data set to know what is in it.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_computes_with_the_data_set_is_given_what_import_found_in_it() {
    let server = TestServer::start().await;
    server.client().submit_sacp(json!({})).await;
    let task = Hand::of(&server).claim_at(Stage::Sensitivity).await;
    let names: Vec<&str> = task.inputs.iter().map(|input| input.name.as_str()).collect();
    assert!(names.contains(&DATASET) && names.contains(&DATASET_SUMMARY), "{names:?}");
}

//! What one job has prepared of a data set the next one is offered, and what becomes of it.

use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use secateur::access::Scope;
use secateur::queue::{ClaimedTask, Written};
use secateur::table::{prepared, usage};
use secateur_core::graph::DType;
use secateur_core::stage::import::{DATASET, DATASET_SUMMARY, Preparation};
use secateur_core::stage::{Stage, TaskResult};
use serde_json::json;

use super::{finish_at_once, somebody_waits_for_a_lock};
use crate::harness::{Client, Hand, PREPARED_BYTES, TestServer, count_files, eventually};

fn converts(shape: &[usize]) -> Option<Preparation> {
    Some(Preparation::Convert { shape: shape.to_vec(), dtype: DType::Float32 })
}

/// A hand that finds that the pictures have to be prepared for the example model.
fn hand(server: &TestServer) -> Hand {
    let mut hand = Hand::of(server);
    hand.preparation = converts(&[1, 8, 8]);
    hand
}

/// Submits a job and takes the task that prepares its data set.
async fn prepare_of(client: &Client, hand: &Hand, change: serde_json::Value) -> ClaimedTask {
    client.submit_pictures(change).await;
    hand.claim_at(Stage::Prepare).await
}

/// Blobs of the rows, those that are offered first; there is a file for each and no other one.
async fn kept(server: &TestServer) -> Vec<(String, bool)> {
    let rows: Vec<(String, bool)> =
        sqlx::query_as("select blob, fingerprint is not null from prepared order by fingerprint is null, last_used_at")
            .fetch_all(server.pool())
            .await
            .unwrap();
    let blobs = server.data_folder().join("blobs");
    assert!(rows.iter().all(|(blob, _)| blobs.join(blob).is_file()), "{rows:?}");
    rows
}

fn files_of(server: &TestServer) -> usize {
    count_files(&server.data_folder().join("blobs/prepared"))
}

async fn count_loose(server: &TestServer) -> i64 {
    sqlx::query_scalar("select count(*) from loose_blob").fetch_one(server.pool()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_job_is_offered_what_the_first_has_prepared_and_reads_it_to_its_end() {
    let server = TestServer::start().await;
    let client = server.client();
    let hand = hand(&server);
    let first = prepare_of(&client, &hand, json!({"name": "first"})).await;
    assert_eq!(first.earlier, None);
    assert_eq!(hand.finish(&first).await, Written::Accepted);
    assert_eq!(count_loose(&server).await, 0, "the row knows the blob");
    hand.finish_all().await;

    let second = prepare_of(&client, &hand, json!({"name": "second", "target": {"flops_reduction": 0.3}})).await;
    let offered = second.earlier.clone().unwrap();
    assert_eq!(kept(&server).await, [(offered.blob.as_str().to_owned(), true)]);
    assert_eq!(hand.finish(&second).await, Written::Accepted);
    // The first job is gone, and what it prepared is not.
    client.delete(&format!("/v1/jobs/{}", first.lease.job)).await;
    let screen = hand.claim_at(Stage::Screen).await;
    let input = |name: &str| screen.inputs.iter().find(|input| input.name == name).map(|input| &input.blob);
    assert_eq!(input(DATASET), Some(&offered.blob));
    assert!(input(DATASET_SUMMARY).is_some_and(|blob| blob.as_str().contains(&second.lease.job.to_string())));
    assert_eq!(hand.finish(&screen).await, Written::Accepted);
    hand.finish_all().await;
    assert_eq!(files_of(&server), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_wants_other_samples_is_offered_none() {
    let server = TestServer::start().await;
    let client = server.client();
    let mut hand = hand(&server);
    client.submit_pictures(json!({})).await;
    hand.finish_all().await;
    let offered = async |hand: &Hand, change: serde_json::Value| {
        let task = prepare_of(&client, hand, change).await;
        client.post(&format!("/v1/jobs/{}/cancel", task.lease.job)).await.expect(StatusCode::OK);
        task.earlier.is_some()
    };
    assert!(offered(&hand, json!({"name": "the same"})).await);
    assert!(!offered(&hand, json!({"seed": 1})).await);
    assert!(!offered(&hand, json!({"data": {"resize": {"policy": "crop", "size": 9}}})).await);
    hand.preparation = converts(&[1, 16, 16]);
    assert!(!offered(&hand, json!({"name": "another shape"})).await);
    hand.preparation = Some(Preparation::Convert { shape: vec![1, 8, 8], dtype: DType::Float64 });
    assert!(!offered(&hand, json!({"name": "another type"})).await);
    hand.preparation = Some(Preparation::Unpack);
    assert!(!offered(&hand, json!({"name": "unpacked"})).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenant_is_offered_nothing() {
    let server = TestServer::start().await;
    let (ours, theirs) =
        (server.client_of("ours", Scope::Submit).await, server.client_of("theirs", Scope::Submit).await);
    let hand = hand(&server);
    ours.submit_pictures(json!({})).await;
    hand.finish_all().await;
    assert_eq!(prepare_of(&theirs, &hand, json!({})).await.earlier, None);
    assert!(prepare_of(&ours, &hand, json!({"name": "again"})).await.earlier.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_jobs_that_prepare_the_same_at_once_both_go_on_and_one_of_the_two_is_kept() {
    let server = TestServer::start().await;
    let client = server.client();
    let hand = Arc::new(hand(&server));
    let first = prepare_of(&client, &hand, json!({"name": "first"})).await;
    let second = prepare_of(&client, &hand, json!({"name": "second"})).await;
    assert!(first.earlier.is_none() && second.earlier.is_none());
    let own = |rows: &[(String, bool)], task: &ClaimedTask, is_offered: bool| {
        rows.iter().any(|(blob, offered)| blob.contains(&task.lease.task.to_string()) && *offered == is_offered)
    };
    let seconds = second.clone();
    finish_at_once(&hand, &first, second).await;
    let rows = kept(&server).await;
    assert!(rows.len() == 2 && own(&rows, &first, true) && own(&rows, &seconds, false), "{rows:?}");
    assert!(!hand.queue.evict_prepared(u64::MAX).await.unwrap(), "both are needed");
    hand.finish_all().await;
    assert!(hand.queue.evict_prepared(u64::MAX).await.unwrap());
    assert!(!hand.queue.evict_prepared(u64::MAX).await.unwrap());
    assert!(own(&kept(&server).await, &first, true));
    assert_eq!(count_loose(&server).await, 1, "the other one is to be freed");
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_samples_are_offered_to_nobody_else_and_the_new_ones_are() {
    let server = TestServer::start().await;
    let client = server.client();
    let mut hand = hand(&server);
    client.submit_pictures(json!({"name": "first"})).await;
    hand.finish_all().await;
    let [(damaged, _)] = &kept(&server).await[..] else { panic!("one is kept") };
    hand.finds_damage = true;
    client.submit_pictures(json!({"name": "second"})).await;
    hand.finish_all().await;
    let third = prepare_of(&client, &hand, json!({"name": "third"})).await;
    let offered = third.earlier.unwrap().blob;
    assert_ne!(offered.as_str(), damaged);
    assert!(hand.queue.evict_prepared(u64::MAX).await.unwrap(), "nobody may use it any more");
    assert_eq!(kept(&server).await, [(offered.as_str().to_owned(), true)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_used_for_the_longest_time_goes_first_and_its_blob_is_freed() {
    let server = TestServer::start_with(|options| {
        options.prepared_cache_bytes = 2 * PREPARED_BYTES;
        options.upkeep_interval = Duration::from_millis(50);
    })
    .await;
    let client = server.client();
    let hand = hand(&server);
    for change in [json!({"seed": 1}), json!({"seed": 2}), json!({"seed": 1, "name": "again"})] {
        client.submit_pictures(change).await;
        hand.finish_all().await;
    }
    let before = kept(&server).await;
    assert_eq!(before.len(), 2, "there is room for two");
    client.submit_pictures(json!({"seed": 3})).await;
    hand.finish_all().await;
    eventually("the blob is freed", || async { (files_of(&server) == 2).then_some(()) }).await;
    let after = kept(&server).await;
    assert!(!after.contains(&before[0]) && after.contains(&before[1]), "{before:?} {after:?}");
    assert_eq!(prepare_of(&client, &hand, json!({"seed": 2, "name": "again"})).await.earlier, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_unfinished_job_needs_stays_however_little_room_there_is() {
    let server = TestServer::start().await;
    let client = server.client();
    let hand = hand(&server);
    client.submit_pictures(json!({"name": "first"})).await;
    hand.finish_all().await;
    let offered = prepare_of(&client, &hand, json!({"name": "second"})).await;
    assert!(!hand.queue.evict_prepared(0).await.unwrap(), "it was offered");
    assert_eq!(hand.finish(&offered).await, Written::Accepted);
    assert!(!hand.queue.evict_prepared(0).await.unwrap(), "it is used");
    client.post(&format!("/v1/jobs/{}/cancel", offered.lease.job)).await.expect(StatusCode::OK);
    assert!(hand.queue.evict_prepared(0).await.unwrap());
    assert_eq!(kept(&server).await, []);
}

/// The eviction has the row when the claim asks for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_meets_an_eviction_waits_for_it_and_prepares_anew() {
    let server = TestServer::start().await;
    let client = server.client();
    let hand = Arc::new(hand(&server));
    client.submit_pictures(json!({"name": "first"})).await;
    hand.finish_all().await;
    client.submit_pictures(json!({"name": "second"})).await;
    let import = hand.claim().await;
    assert_eq!(hand.finish(&import).await, Written::Accepted);

    let mut eviction = hand.queue.database().begin().await.unwrap();
    let blob = prepared::claim_superfluous(&mut *eviction, 0).await.unwrap().unwrap();
    let claim = tokio::spawn({
        let hand = hand.clone();
        async move { hand.claim().await }
    });
    eventually("the claim waits for the eviction", || somebody_waits_for_a_lock(&hand)).await;
    assert!(prepared::delete_unneeded(&mut *eviction, &blob).await.unwrap());
    eviction.commit().await.unwrap();
    let task = claim.await.unwrap();
    assert_eq!((task.stage, task.earlier.as_ref()), (Stage::Prepare, None));
    assert_eq!(hand.finish(&task).await, Written::Accepted);
    hand.finish_all().await;
}

/// The claim comes between the look of the eviction and its lock, and has ended by then.
#[tokio::test(flavor = "multi_thread")]
async fn an_eviction_that_a_claim_has_overtaken_deletes_nothing() {
    let server = TestServer::start().await;
    let client = server.client();
    let hand = hand(&server);
    client.submit_pictures(json!({"name": "first"})).await;
    hand.finish_all().await;
    let mut looked = hand.queue.database().begin().await.unwrap();
    let blob = prepared::claim_superfluous(&mut *looked, 0).await.unwrap().unwrap();
    looked.rollback().await.unwrap();
    let task = prepare_of(&client, &hand, json!({"name": "second"})).await;
    assert!(task.earlier.is_some());
    assert!(!prepared::delete_unneeded(server.pool(), &blob).await.unwrap());
    assert_eq!(kept(&server).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_prepared_of_a_data_set_goes_with_it_once_no_job_needs_it() {
    let server = TestServer::start().await;
    let client = server.client();
    let hand = hand(&server);
    client.submit_pictures(json!({"seed": 1})).await;
    hand.finish_all().await;
    let second = prepare_of(&client, &hand, json!({"seed": 2})).await;
    assert_eq!(hand.finish(&second).await, Written::Accepted);
    let dataset = format!("/v1/datasets/{}", second.dataset_id.unwrap());
    client.delete(&dataset).await.problem(409, "dataset_in_use");
    assert_eq!(kept(&server).await.len(), 2);
    hand.finish_all().await;
    assert_eq!(client.delete(&dataset).await.status, StatusCode::NO_CONTENT);
    assert_eq!(kept(&server).await, []);
    assert_eq!((files_of(&server), count_loose(&server).await), (0, 0));
    let report = client.get(&format!("/v1/jobs/{}/artifacts/report.json", second.lease.job)).await;
    assert_eq!(report.status, StatusCode::OK);
    // The same bytes again are another data set, of which nothing is prepared.
    assert_eq!(prepare_of(&client, &hand, json!({"name": "again"})).await.earlier, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_does_not_count_leaves_no_row_and_a_blob_that_is_freed() {
    let server = TestServer::start().await;
    let client = server.client();
    let hand = hand(&server);
    let task = prepare_of(&client, &hand, json!({})).await;
    let brought = hand.bring(&task).await;
    client.post(&format!("/v1/jobs/{}/cancel", task.lease.job)).await.expect(StatusCode::OK);
    assert_eq!(hand.queue.finish(&task.lease, &brought).await.unwrap(), Written::Cancelled);
    assert_eq!(kept(&server).await, []);
    assert_eq!((files_of(&server), count_loose(&server).await), (1, 1), "it is known as one that nobody refers to");
}

#[tokio::test(flavor = "multi_thread")]
async fn prepared_samples_count_as_stored_bytes_only_while_a_job_needs_them() {
    let server = TestServer::start().await;
    let client = server.client_of("ours", Scope::Submit).await;
    let hand = hand(&server);
    let stored = async || usage::stored_bytes(server.pool(), &"ours".parse().unwrap()).await.unwrap();
    let task = prepare_of(&client, &hand, json!({})).await;
    let before = stored().await;
    let brought = hand.bring(&task).await;
    let TaskResult::Prepare(_) = brought.computed.result else { panic!("it prepares") };
    let outputs: u64 = brought.outputs.iter().map(|output| output.bytes).sum();
    assert_eq!(hand.queue.finish(&task.lease, &brought).await.unwrap(), Written::Accepted);
    assert_eq!(stored().await, before + outputs + PREPARED_BYTES);
    client.post(&format!("/v1/jobs/{}/cancel", task.lease.job)).await.expect(StatusCode::OK);
    assert_eq!(stored().await, before + outputs);
}

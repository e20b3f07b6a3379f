//! What an upload alone tells of a model, and `POST /v1/models/{id}/inspect`.

use secateur::job::JobError;
use secateur::queue::{Failure, Share};
use secateur_core::spec::{InputShape, InspectionSpec};
use secateur_core::stage::{Stage, Work};

use crate::harness::{Hand, TestServer};

#[tokio::test(flavor = "multi_thread")]
async fn inspections_and_jobs_go_to_slots_of_their_own() {
    let server = TestServer::start().await;
    let client = server.client();
    client.submit().await;
    client.upload_example("", "resnet20-digits.pt").await;
    let hand = Hand::of(&server);
    assert_eq!(hand.claim_of(Share::Jobs).await.unwrap().stage, Stage::Import);
    assert!(hand.claim_of(Share::Jobs).await.is_none(), "a slot of jobs leaves the inspection");
    assert_eq!(hand.claim_of(Share::Inspections).await.unwrap().stage, Stage::Inspect);
    client.submit().await;
    assert!(hand.claim_of(Share::Inspections).await.is_none(), "and the slot of inspections the job");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_question_is_asked_once_and_another_one_takes_its_place() {
    let server = TestServer::start().await;
    let client = server.client();
    for _ in 0..3 {
        client.upload_example("?input_shape=1,8,8", "vgg-digits.pt").await;
    }
    let hand = Hand::of(&server);
    let first = hand.claim().await;
    assert!(hand.try_claim().await.is_none());
    client.upload_example("?input_shape=1,16,16", "vgg-digits.pt").await;
    let second = hand.claim().await;
    let asked = InspectionSpec { input_shape: Some(InputShape::One(vec![1, 16, 16])), inputs: None };
    assert_eq!(second.plan.work, Work::Inspect(asked));
    assert_eq!(hand.finish(&first).await, secateur::queue::Written::Cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inspection_whose_engine_keeps_dying_fails_with_the_reason() {
    let server = TestServer::start().await;
    let client = server.client();
    let uploaded = client.upload_example("", "resnet20-digits.pt").await;
    let hand = Hand::of(&server);
    for _ in 0..3 {
        let task = hand.claim().await;
        let crash = Failure::Retryable(JobError::internal(Stage::Inspect, "The engine died of signal 6."));
        hand.queue.fail(&task.lease, 0, &crash, "").await.unwrap();
    }
    let model = client.inspected(&uploaded).await;
    assert_eq!(model["inspection"]["status"], "failed");
    assert!(model["inspection"]["error"]["detail"].as_str().unwrap().contains("signal 6"), "{model}");
}

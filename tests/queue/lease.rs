//! Leases run out, attempts fence.

use std::time::Duration;

use secateur::job::JobError;
use secateur::queue::{ClaimedTask, Failure, Written};
use secateur_core::rejection::{Code, Rejection};
use secateur_core::stage::Stage;
use secateur_core::wire::Progress;

use crate::harness::{Hand, TestServer, eventually};

const SHORT: Duration = Duration::from_millis(1);

async fn heartbeat(hand: &Hand, task: &ClaimedTask) -> Written {
    hand.queue.heartbeat(&task.lease, task.stage, task.plan.index, None).await.unwrap()
}

async fn reap(hand: &Hand) {
    eventually("the lease runs out", || async { (hand.queue.reap().await.unwrap() > 0).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_whose_lease_ran_out_goes_to_another_and_the_old_holder_is_refused() {
    let server = TestServer::start().await;
    server.client().submit().await;
    let (dead, alive) = (Hand::with_lease(&server, SHORT), Hand::of(&server));
    let lost = dead.claim().await;
    let brought = dead.bring(&lost).await;
    reap(&alive).await;
    let again = alive.claim().await;
    assert_eq!(again.lease.task, lost.lease.task);
    assert_eq!(again.lease.attempt, lost.lease.attempt + 1);

    assert_eq!(heartbeat(&dead, &lost).await, Written::LeaseLost);
    assert_eq!(dead.queue.finish(&lost.lease, &brought).await.unwrap(), Written::LeaseLost);
    let failure = Failure::Retryable(JobError::internal(Stage::Import, "too late"));
    assert_eq!(dead.queue.fail(&lost.lease, 0, &failure, "").await.unwrap(), Written::LeaseLost);
    assert_eq!(dead.queue.give_back(&lost.lease, "").await.unwrap(), Written::LeaseLost);
    assert_eq!(alive.finish(&again).await, Written::Accepted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_keeps_a_task_from_the_reaper() {
    let server = TestServer::start().await;
    server.client().submit().await;
    let (short, long) = (Hand::with_lease(&server, SHORT), Hand::of(&server));
    let task = short.claim().await;
    assert_eq!(heartbeat(&long, &task).await, Written::Accepted);
    assert_eq!(long.queue.reap().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_loses_three_workers_fails_its_job_as_our_fault() {
    let server = TestServer::start().await;
    let client = server.client();
    let id = client.submit().await;
    let hand = Hand::with_lease(&server, SHORT);
    for _ in 0..3 {
        hand.claim().await;
        reap(&hand).await;
    }
    let job = client.get(&format!("/v1/jobs/{id}")).await.expect(200.try_into().unwrap());
    assert_eq!(job["status"], "failed");
    assert_eq!(job["error"]["code"], "internal");
    assert_eq!(job["error"]["stage"], "import");
    assert!(job["error"]["detail"].as_str().unwrap().contains("attempt 3 of 3"), "{job}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_is_tried_again_and_a_rejection_is_not() {
    let server = TestServer::start().await;
    let client = server.client();
    let id = client.submit().await;
    let hand = Hand::of(&server);
    let crash = Failure::Retryable(JobError::internal(Stage::Import, "The engine died of signal 6."));
    let task = hand.claim().await;
    assert_eq!(hand.queue.fail(&task.lease, 0, &crash, "boom\n").await.unwrap(), Written::Accepted);
    let job = client.get(&format!("/v1/jobs/{id}")).await.expect(200.try_into().unwrap());
    assert_eq!(job["status"], "running");

    let rejection = Rejection::new(Code::UnsupportedOperator, "aten::foo is not supported.").at("node 7");
    let rejected = Failure::Permanent(JobError::rejected(Stage::Import, rejection));
    let task = hand.claim().await;
    assert_eq!(hand.queue.fail(&task.lease, 0, &rejected, "").await.unwrap(), Written::Accepted);
    let job = client.get(&format!("/v1/jobs/{id}")).await.expect(200.try_into().unwrap());
    assert_eq!(job["status"], "failed");
    assert_eq!(job["error"]["code"], "unsupported_operator");
    assert_eq!(job["error"]["node"], "node 7");
    let log = client.get(&format!("/v1/jobs/{id}/artifacts/log.txt")).await;
    assert!(String::from_utf8_lossy(&log.body).contains("boom"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_is_given_back_has_not_failed() {
    let server = TestServer::start().await;
    server.client().submit().await;
    let hand = Hand::of(&server);
    for _ in 0..5 {
        let task = hand.claim().await;
        assert_eq!(hand.queue.give_back(&task.lease, "").await.unwrap(), Written::Accepted);
    }
    let task = hand.claim().await;
    assert_eq!(task.lease.attempt, 6, "the fencing token rises all the same");
    assert_eq!(hand.finish(&task).await, Written::Accepted);
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_of_a_heartbeat_shows_in_the_job_and_its_events() {
    let server = TestServer::start().await;
    let client = server.client();
    let id = client.submit().await;
    let hand = Hand::of(&server);
    let task = hand.claim().await;
    let progress = Progress {
        done: 3,
        total: 12,
        unit: "steps".to_owned(),
        rate: Some(1.5),
        note: Some("a NUL \0 in it".to_owned()),
    };
    let beat = hand.queue.heartbeat(&task.lease, task.stage, 0, Some(&progress)).await.unwrap();
    assert_eq!(beat, Written::Accepted);
    let job = client.get(&format!("/v1/jobs/{id}")).await.expect(200.try_into().unwrap());
    let import = &job["progress"]["import"];
    assert_eq!((&import["done"], &import["total"], &import["eta_s"]), (&3.into(), &12.into(), &6.0.into()));
    let events = client.get(&format!("/v1/jobs/{id}/events")).await.expect(200.try_into().unwrap());
    let last = events["items"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["type"], &last["data"]["done"]), (&"progress".into(), &3.into()));
}

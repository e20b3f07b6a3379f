//! Leases run out, attempts fence.

use std::time::Duration;

use secateur::blob::BlobKey;
use secateur::job::JobError;
use secateur::queue::{ClaimedTask, Failure, MAX_LOSSES, Report, Written};
use secateur_core::rejection::{Code, Rejection};
use secateur_core::stage::Stage;
use secateur_core::wire::{Progress, Reading};
use serde_json::json;

use crate::harness::{Hand, TestServer, eventually};

const SHORT: Duration = Duration::from_millis(1);

async fn heartbeat(hand: &Hand, task: &ClaimedTask) -> Written {
    hand.queue.heartbeat(&task.lease, task.stage, task.plan.index, None).await.unwrap().written
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
async fn a_task_that_loses_ten_workers_fails_its_job_as_our_fault() {
    let server = TestServer::start().await;
    let client = server.client();
    let id = client.submit().await;
    let hand = Hand::with_lease(&server, SHORT);
    for _ in 0..MAX_LOSSES {
        hand.claim().await;
        reap(&hand).await;
    }
    let job = client.get(&format!("/v1/jobs/{id}")).await.expect(200.try_into().unwrap());
    assert_eq!(job["status"], "failed");
    assert_eq!(job["error"]["code"], "internal");
    assert_eq!(job["error"]["stage"], "import");
    assert!(job["error"]["detail"].as_str().unwrap().contains("attempt 10 of 10"), "{job}");
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_were_lost_before_a_checkpoint_are_forgotten() {
    let server = TestServer::start().await;
    let client = server.client();
    let id = client.submit().await;
    let (dying, steady) = (Hand::with_lease(&server, SHORT), Hand::of(&server));
    for _ in 0..MAX_LOSSES - 1 {
        dying.claim().await;
        reap(&dying).await;
    }
    let task = steady.claim().await;
    let blob = BlobKey::checkpoint(task.lease.job, task.stage, 0, task.lease.attempt, 1);
    assert_eq!(steady.queue.checkpoint(&task.lease, &blob).await.unwrap(), Written::Accepted);
    assert_eq!(steady.queue.give_back(&task.lease, "").await.unwrap(), Written::Accepted);
    dying.claim().await;
    reap(&dying).await;
    let job = client.get(&format!("/v1/jobs/{id}")).await.expect(200.try_into().unwrap());
    assert_eq!(job["status"], "running");
}

/// A crash may have been an accident, but what led to it seldom passes at once.
#[tokio::test(flavor = "multi_thread")]
async fn what_has_failed_is_tried_again_after_a_pause_and_not_before() {
    let server = TestServer::start().await;
    server.client().submit().await;
    let mut hand = Hand::of(&server);
    hand.queue = hand.queue.with_retry_pause(Duration::from_hours(1));
    let task = hand.claim().await;
    let failure = Failure::Retryable(JobError::internal(Stage::Import, "The engine died of signal 6."));
    assert_eq!(hand.queue.fail(&task.lease, 0, &failure, "").await.unwrap(), Written::Accepted);
    assert!(hand.try_claim().await.is_none());
    sqlx::query("update task set not_before = not_before - interval '2 hours'").execute(server.pool()).await.unwrap();
    assert_eq!(hand.claim().await.lease.task, task.lease.task);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_waited_for_and_told_in_the_end() {
    let server = TestServer::start().await;
    let client = server.client();
    let id = client.submit().await;
    let hand = Hand::of(&server);
    let failure = Failure::NoRoom(JobError::no_room(Stage::Import, "The disk is full."));
    for _ in 0..MAX_LOSSES {
        let job = client.get(&format!("/v1/jobs/{id}")).await.expect(200.try_into().unwrap());
        assert_ne!(job["status"], "failed");
        let task = hand.claim().await;
        assert_eq!(hand.queue.fail(&task.lease, 0, &failure, "").await.unwrap(), Written::Accepted);
    }
    let job = client.get(&format!("/v1/jobs/{id}")).await.expect(200.try_into().unwrap());
    assert_eq!((&job["status"], &job["error"]["code"]), (&"failed".into(), &"storage_full".into()));
    assert!(job["error"]["detail"].as_str().unwrap().contains("attempt 10 of 10"), "{job}");
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
    let report = Report { progress: &progress, readings: &[] };
    let beat = hand.queue.heartbeat(&task.lease, task.stage, 0, Some(report)).await.unwrap();
    assert!(beat.written == Written::Accepted && beat.is_told, "{beat:?}");
    let job = client.get(&format!("/v1/jobs/{id}")).await.expect(200.try_into().unwrap());
    let import = &job["progress"]["import"];
    assert_eq!((&import["done"], &import["total"], &import["eta_s"]), (&3.into(), &12.into(), &6.0.into()));
    let events = client.get(&format!("/v1/jobs/{id}/events")).await.expect(200.try_into().unwrap());
    let last = events["items"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["type"], &last["data"]["done"]), (&"progress".into(), &3.into()));
}

/// A job with a hundred running tasks would write more events than anybody reads.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_has_at_most_two_events_of_progress_a_second_and_its_tasks_every_figure() {
    let server = TestServer::start().await;
    let client = server.client();
    let id = client.submit().await;
    let hand = Hand::of(&server);
    let task = hand.claim().await;
    let reading = |step| Reading {
        unit: "epoch".to_owned(),
        step,
        candidate: None,
        figures: [("training_loss".to_owned(), 0.5)].into(),
    };
    let report = async |done| {
        let progress = Progress { done, total: 12, unit: "steps".to_owned(), rate: None, note: None };
        let report = Report { progress: &progress, readings: &[reading(done)] };
        hand.queue.heartbeat(&task.lease, task.stage, 0, Some(report)).await.unwrap()
    };
    for done in [1, 2] {
        // The second comes within the half second, unless the machine stops for so long: then its event is due.
        sqlx::query("update job set progress_at = clock_timestamp() + interval '1 hour' where progress_at is not null")
            .execute(server.pool())
            .await
            .unwrap();
        let beat = report(done).await;
        assert_eq!(beat.is_told, done == 1);
    }
    let of_progress = |events: &serde_json::Value| -> Vec<u64> {
        let items = events["items"].as_array().unwrap().iter();
        items.filter(|event| event["type"] == "progress").map(|event| event["data"]["done"].as_u64().unwrap()).collect()
    };
    let path = format!("/v1/jobs/{id}");
    let events = client.get(&format!("{path}/events")).await.expect(200.try_into().unwrap());
    assert_eq!(of_progress(&events), [1]);
    assert_eq!(client.get(&path).await.expect(200.try_into().unwrap())["progress"]["import"]["done"], 2);

    sqlx::query("update job set progress_at = clock_timestamp() - interval '1 second'")
        .execute(server.pool())
        .await
        .unwrap();
    assert!(report(3).await.is_told);
    let mut finished = hand.bring(&task).await;
    finished.readings = vec![reading(4)];
    assert_eq!(hand.queue.finish(&task.lease, &finished).await.unwrap(), Written::Accepted);
    let events = client.get(&format!("{path}/events")).await.expect(200.try_into().unwrap());
    assert_eq!(of_progress(&events), [1, 3]);
    let items = events["items"].as_array().unwrap();
    let readings = items.iter().flat_map(|event| event["data"]["readings"].as_array().into_iter().flatten());
    let read = |step: u64| json!({"unit": "epoch", "step": step, "figures": {"training_loss": 0.5}});
    assert_eq!(readings.cloned().collect::<Vec<_>>(), [read(1), read(3), read(4)]);
}

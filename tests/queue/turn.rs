//! Whose turn it is: tenants first, then priorities, then jobs.

use std::time::Duration;

use secateur::access::Scope;
use secateur::queue::Capacity;
use secateur_core::stage::Stage;
use serde_json::json;

use crate::harness::{Hand, TestServer};

#[tokio::test(flavor = "multi_thread")]
async fn the_job_of_the_highest_priority_goes_first() {
    let server = TestServer::start().await;
    let client = server.client();
    let mut jobs = Vec::new();
    for priority in [0, -5, 10] {
        jobs.push(client.submit_with(json!({"priority": priority})).await);
    }
    let hand = Hand::of(&server);
    for expected in [&jobs[2], &jobs[0], &jobs[1]] {
        assert_eq!(&hand.claim().await.lease.job.to_string(), expected);
    }
}

/// A job with many candidates and one that came after it.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_many_tasks_leaves_room_for_a_small_one() {
    let server = TestServer::start().await;
    let client = server.client();
    let large = client.submit_sacp(json!({})).await;
    let hand = Hand::of(&server);
    let first = hand.claim_at(Stage::Screen).await;
    assert_eq!(first.lease.job.to_string(), large);
    let small = client.submit().await;
    assert_eq!(hand.claim().await.lease.job.to_string(), small, "it has no running task, and the large one has");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_one_slot_the_job_goes_first_that_had_the_smallest_part_of_its_time() {
    let server = TestServer::start().await;
    let client = server.client();
    let (served, waiting) = (client.submit().await, client.submit().await);
    let hand = Hand::of(&server);
    let age =
        "update job set created_at = created_at - interval '100 seconds', ran_s = case when id = $1 then 50 else 0 end";
    let id: secateur::id::JobId = served.parse().unwrap();
    sqlx::query(age).bind(id.uuid()).execute(server.pool()).await.unwrap();
    assert_eq!(hand.claim().await.lease.job.to_string(), waiting);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_with_many_jobs_leaves_every_second_turn_to_one_with_few() {
    let server = TestServer::start().await;
    let (many, few) = (server.client_of("many", Scope::Submit).await, server.client_of("few", Scope::Submit).await);
    let mut crowd = Vec::new();
    for _ in 0..4 {
        crowd.push(many.submit_with(json!({"priority": 100})).await);
    }
    let mut alone = Vec::new();
    for _ in 0..2 {
        alone.push(few.submit().await);
    }
    let hand = Hand::of(&server);
    let mut turns = Vec::new();
    for _ in 0..4 {
        turns.push(alone.contains(&hand.claim().await.lease.job.to_string()));
    }
    assert_eq!(turns.iter().filter(|is_of_few| **is_of_few).count(), 2, "{turns:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tenant_goes_first_that_had_the_least_of_the_workers_lately() {
    let server = TestServer::start().await;
    let (heavy, light) =
        (server.client_of("heavy", Scope::Submit).await, server.client_of("light", Scope::Submit).await);
    heavy.submit().await;
    let expected = light.submit().await;
    let used = "insert into tenant_share (tenant, seconds, at)
                values ('heavy', 100, clock_timestamp()), ('light', 150, clock_timestamp() - interval '2 hours')";
    sqlx::query(used).execute(server.pool()).await.unwrap();
    assert_eq!(Hand::of(&server).claim().await.lease.job.to_string(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_leaves_alone_what_it_has_not_got_what_it_takes_for() {
    let server = TestServer::start().await;
    let client = server.client();
    let gpu = client.submit_with(json!({"requires": {"device": "gpu"}})).await;
    let memory = client.submit_with(json!({"requires": {"memory_bytes": 1_u64 << 34}})).await;
    let cpu = client.submit_with(json!({"requires": {"device": "cpu"}})).await;
    let mut hand = Hand::of(&server);
    hand.capacity = Capacity { has_gpu: false, memory_bytes: Some(1 << 33) };
    assert_eq!(hand.claim().await.lease.job.to_string(), cpu);
    assert!(hand.try_claim().await.is_none());
    hand.capacity = Capacity { has_gpu: false, memory_bytes: Some(1 << 34) };
    assert_eq!(hand.claim().await.lease.job.to_string(), memory);
    hand.capacity = Capacity { has_gpu: true, memory_bytes: None };
    assert_eq!(hand.claim().await.lease.job.to_string(), gpu);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_tasks_ran_longer_than_it_allows_fails_and_time_in_the_queue_does_not_count() {
    let server = TestServer::start().await;
    let client = server.client();
    let id = client.submit_with(json!({"max_runtime_s": 60})).await;
    let hand = Hand::of(&server);
    sqlx::query("update job set created_at = created_at - interval '1 day'").execute(server.pool()).await.unwrap();
    let task = hand.claim().await;
    assert_eq!(hand.queue.reap().await.unwrap(), 0);
    let started = "update task set started_at = started_at - interval '40 seconds' where state = 'running'";
    sqlx::query(started).execute(server.pool()).await.unwrap();
    hand.finish(&task).await;
    hand.claim().await;
    assert_eq!(hand.queue.reap().await.unwrap(), 0);
    sqlx::query(started).execute(server.pool()).await.unwrap();
    assert_eq!(hand.queue.reap().await.unwrap(), 1);
    let job = client.get(&format!("/v1/jobs/{id}")).await.expect(200.try_into().unwrap());
    assert_eq!((&job["status"], &job["error"]["code"]), (&"failed".into(), &"timed_out".into()));
    assert!(job["error"]["detail"].as_str().unwrap().contains("`max_runtime_s` allows 60 s"), "{job}");
}

/// A task that cannot be read would be met first at every claim.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_another_version_has_planned_fails_its_job_and_blocks_no_other() {
    let server = TestServer::start().await;
    let client = server.client();
    let (strange, usual) = (client.submit().await, client.submit().await);
    let id: secateur::id::JobId = strange.parse().unwrap();
    let statement = "update task set plan = '{\"work\": {\"divine\": {}}}' where job_id = $1";
    sqlx::query(statement).bind(id.uuid()).execute(server.pool()).await.unwrap();
    let hand = Hand::of(&server);
    assert_eq!(hand.claim().await.lease.job.to_string(), usual);
    let job = client.get(&format!("/v1/jobs/{strange}")).await.expect(200.try_into().unwrap());
    assert_eq!((&job["status"], &job["error"]["code"]), (&"failed".into(), &"internal".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_of_a_newer_protocol_waits_for_a_worker_that_speaks_it() {
    let server = TestServer::start().await;
    server.client().submit().await;
    sqlx::query("update task set protocol = protocol + 1").execute(server.pool()).await.unwrap();
    let hand = Hand::with_lease(&server, Duration::from_mins(1));
    assert!(hand.try_claim().await.is_none());
}

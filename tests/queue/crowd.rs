//! Many workers, many jobs, and cancellations in between: no step may deadlock, and every job comes to its end.

use std::sync::Arc;

use reqwest::StatusCode;
use secateur::queue::Written;

use crate::harness::{Hand, TestServer};

const WORKERS: usize = 8;
const JOBS: usize = 12;
const CANCELLED_EVERY: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn every_job_ends_and_no_transaction_collides() {
    let server = TestServer::start().await;
    let client = server.client();
    let mut jobs = Vec::new();
    for _ in 0..JOBS {
        jobs.push(client.submit().await);
    }
    let hand = Arc::new(Hand::of(&server));
    let workers: Vec<_> = (0..WORKERS)
        .map(|_| {
            let hand = hand.clone();
            tokio::spawn(async move {
                // Any collision is an error, and an error fails the test.
                while let Some(task) = hand.try_claim().await {
                    let beat =
                        hand.queue.heartbeat(&task.lease, task.stage, task.plan.index, None).await.unwrap().written;
                    if beat == Written::Accepted {
                        let written = hand.finish(&task).await;
                        assert_ne!(written, Written::LeaseLost);
                    }
                }
            })
        })
        .collect();
    for id in jobs.iter().step_by(CANCELLED_EVERY) {
        client.post(&format!("/v1/jobs/{id}/cancel")).await;
    }
    for worker in workers {
        worker.await.unwrap();
    }
    // A worker leaves when there is nothing to claim at that moment; what came later is done here.
    hand.finish_all().await;
    for (index, id) in jobs.iter().enumerate() {
        let job = client.get(&format!("/v1/jobs/{id}")).await.expect(StatusCode::OK);
        let was_cancelled = index % CANCELLED_EVERY == 0 && job["status"] == "cancelled";
        assert!(job["status"] == "succeeded" || was_cancelled, "{job}");
    }
    let unfinished: i64 = sqlx::query_scalar("select count(*) from task where state in ('queued', 'running')")
        .fetch_one(hand.queue.database().pool())
        .await
        .unwrap();
    assert_eq!(unfinished, 0);
}

//! Processes that are gone are not waited for.

use std::time::Duration;

use secateur::queue::{Capacity, NewWorker, Process, Share, Written};

use crate::harness::{Hand, TestServer};

fn worker(name: &str, machine: &str) -> NewWorker {
    NewWorker {
        name: name.to_owned(),
        process: Process { machine: machine.to_owned(), pid: 4242, began: 17 },
        version: "0",
        protocol: 0,
        slots: 1,
        has_gpu: false,
        memory_bytes: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_task_of_a_process_that_is_gone_is_queued_again_before_its_lease_runs_out() {
    let server = TestServer::start().await;
    server.client().submit().await;
    let hand = Hand::with_lease(&server, Duration::from_hours(1));
    hand.queue.enrol(&worker("dead", "here")).await.unwrap();
    hand.queue.enrol(&worker("elsewhere", "there")).await.unwrap();
    let lost = hand.queue.claim("dead/0", Share::Jobs, Capacity::default()).await.unwrap().unwrap();
    assert_eq!(hand.queue.take_back_of("there", |_| false).await.unwrap(), 0, "it is a worker of another machine");
    assert_eq!(hand.queue.take_back_of("here", |_| true).await.unwrap(), 0, "its process is there");
    assert_eq!(hand.queue.take_back_of("here", |_| false).await.unwrap(), 1);
    let again = hand.claim().await;
    assert_eq!((again.lease.task, again.lease.attempt), (lost.lease.task, lost.lease.attempt + 1));
    assert_eq!(hand.finish(&lost).await, Written::LeaseLost);
    assert_eq!(hand.queue.take_back_of("here", |_| false).await.unwrap(), 0, "it is forgotten");
}

/// The list of leases is read without locks.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_somebody_else_holds_by_now_is_left_alone() {
    let server = TestServer::start().await;
    server.client().submit().await;
    let hand = Hand::with_lease(&server, Duration::from_hours(1));
    hand.queue.enrol(&worker("dead", "here")).await.unwrap();
    let first = hand.queue.claim("dead/0", Share::Jobs, Capacity::default()).await.unwrap().unwrap();
    hand.queue.give_back(&first.lease, "").await.unwrap();
    let second = hand.queue.claim("alive/0", Share::Jobs, Capacity::default()).await.unwrap().unwrap();
    assert_eq!(hand.queue.take_back_of("here", |_| false).await.unwrap(), 0);
    assert_eq!(hand.finish(&second).await, Written::Accepted);
}

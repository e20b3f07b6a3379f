//! A judgement ends once, whoever ends it, and is waited for by no process.

use std::sync::Arc;

use reqwest::StatusCode;
use secateur::queue::Judging;
use secateur_core::recovery::JudgeScore;
use secateur_core::stage::Stage;
use serde_json::json;

use super::{count_tasks, somebody_waits_for_a_lock};
use crate::harness::{Hand, TestServer, eventually};

async fn asked(server: &TestServer) -> (Arc<Hand>, String) {
    let id = server.client().submit_judged(json!({"timeout_s": 600})).await;
    let hand = Arc::new(Hand::of(server));
    hand.finish_all().await;
    (hand, id)
}

async fn let_the_time_pass(server: &TestServer) {
    let query = "update task set deadline = clock_timestamp() - interval '1 second' where state = 'waiting'";
    assert_eq!(sqlx::query(query).execute(server.pool()).await.unwrap().rows_affected(), 1);
}

async fn count_ends(hand: &Hand) -> i64 {
    sqlx::query_scalar("select count(*) from event where type = 'judgement_ended'")
        .fetch_one(hand.queue.database().pool())
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn many_reapers_end_a_judgement_once() {
    let server = TestServer::start().await;
    let (hand, _) = asked(&server).await;
    assert_eq!(hand.queue.reap().await.unwrap(), 0, "there is time");
    let_the_time_pass(&server).await;
    let reapers: Vec<_> = (0..6)
        .map(|_| {
            let hand = hand.clone();
            tokio::spawn(async move { hand.queue.reap().await.unwrap() })
        })
        .collect();
    for reaper in reapers {
        reaper.await.unwrap();
    }
    assert_eq!((count_ends(&hand).await, count_tasks(&hand, Stage::Export).await), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_scores_that_come_at_once_and_are_the_last_end_it_once() {
    let server = TestServer::start().await;
    let (hand, id) = asked(&server).await;
    let job = id.parse().unwrap();
    let judges: Vec<_> = (0..2)
        .map(|candidate| {
            let hand = hand.clone();
            tokio::spawn(async move { hand.queue.judge(job, JudgeScore { candidate, score: 0.5 }).await.unwrap() })
        })
        .collect();
    for judge in judges {
        assert_eq!(judge.await.unwrap(), Judging::Recorded);
    }
    assert_eq!((count_ends(&hand).await, count_tasks(&hand, Stage::Export).await), (1, 1));
}

/// The score waits for the reaper's lock while the reaper ends the judgement.
#[tokio::test(flavor = "multi_thread")]
async fn a_score_that_comes_while_the_reaper_ends_the_judgement_is_late() {
    let server = TestServer::start().await;
    let (hand, id) = asked(&server).await;
    let job = id.parse().unwrap();
    assert_eq!(hand.queue.judge(job, JudgeScore { candidate: 1, score: 0.1 }).await.unwrap(), Judging::Recorded);
    let_the_time_pass(&server).await;
    let mut transaction = hand.queue.database().begin().await.unwrap();
    assert!(secateur::table::job::lock(&mut *transaction, job).await.unwrap());
    let reaper = tokio::spawn({
        let hand = hand.clone();
        async move { hand.queue.reap().await.unwrap() }
    });
    eventually("the reaper waits for the job", || somebody_waits_for_a_lock(&hand)).await;
    let judge = tokio::spawn({
        let hand = hand.clone();
        async move { hand.queue.judge(job, JudgeScore { candidate: 0, score: 0.9 }).await.unwrap() }
    });
    transaction.rollback().await.unwrap();
    assert!(matches!(judge.await.unwrap(), Judging::Over(_)));
    reaper.await.unwrap();
    assert_eq!((count_ends(&hand).await, count_tasks(&hand, Stage::Export).await), (1, 1));
    let judgements = server.client().get(&format!("/v1/jobs/{id}/judgements")).await.expect(StatusCode::OK);
    assert_eq!((&judgements["decided_by"], &judgements["winner"]), (&"metric".into(), &1.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_judgement_is_open_after_a_restart_and_its_deadline_goes_on() {
    let mut server = TestServer::start_with_own_postgres(|_| {}).await;
    let (hand, id) = asked(&server).await;
    let path = format!("/v1/jobs/{id}/judgements");
    let body = json!({"candidate": 0, "score": 0.5});
    let before = server.client().post_json(&path, &body).await.expect(StatusCode::OK);
    drop(hand);
    server.restart().await;

    let client = server.client();
    assert_eq!(client.get(&path).await.expect(StatusCode::OK), before, "the score and the deadline are as they were");
    let_the_time_pass(&server).await;
    server.restart().await;
    let client = server.client();
    eventually("the server that starts ends it", || async {
        let job = client.get(&format!("/v1/jobs/{id}")).await.expect(StatusCode::OK);
        (job["stage"] == "export").then_some(())
    })
    .await;
    Hand::of(&server).finish_all().await;
    let job = client.get(&format!("/v1/jobs/{id}")).await.expect(StatusCode::OK);
    assert_eq!((&job["status"], &job["best"]["candidate"]), (&"succeeded".into(), &1.into()));
}

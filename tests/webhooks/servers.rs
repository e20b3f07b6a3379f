//! Several servers on one database, and one that dies while it sends.

use std::collections::HashSet;

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{after_attempts, cancelled_job, deliveries, let_the_time_pass, server};
use crate::cli::{Serving, folder, secateur};
use crate::harness::{Receiver, Reply, TestServer, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_on_one_database_send_everything_once() {
    let (server, mut receiver) = (server().await, Receiver::start().await);
    let mut second = server.start_beside(|_| {}).await;
    let mut jobs = Vec::new();
    for client in [server.client(), second.client()].iter().cycle().take(20) {
        jobs.push(cancelled_job(client, &receiver).await);
    }
    for job in &jobs {
        let delivery = after_attempts(&server.client(), job, 1).await;
        assert_eq!(delivery["status"], "delivered");
    }
    let received = receiver.rest();
    let ids: HashSet<&str> = received.iter().map(|received| received.id()).collect();
    assert_eq!((received.len(), ids.len()), (jobs.len(), jobs.len()));
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_was_sending_when_it_was_killed_is_sent_by_another() {
    let server = TestServer::start_with(|options| {
        options.webhooks.allow = vec!["127.0.0.1".parse().unwrap()];
        options.webhooks.at_once = 0;
    })
    .await;
    let (folder, mut receiver) = (folder(), Receiver::start().await);
    let mut command = secateur();
    command.args(["serve", "--listen", "127.0.0.1:0", "--slots", "0", "--reserve-bytes", "0", "--data-dir"]);
    command.arg(folder.path().join("data")).env("DATABASE_URL", server.database_url());
    command.args(["--webhook-allow", "127.0.0.1"]);
    // Nobody listens there: a server that went through it would send nothing.
    command.env("HTTP_PROXY", "http://127.0.0.1:1").env("http_proxy", "http://127.0.0.1:1");
    let doomed = Serving::start_by(command);

    receiver.reply(Reply::Hang);
    let job = cancelled_job(&doomed.client, &receiver).await;
    let first = receiver.next().await;
    doomed.kill();
    let client = server.client();
    let [under_way] = &deliveries(&client, &job).await[..] else { panic!("it is there") };
    assert_eq!((&under_way["status"], &under_way["attempts"][0]["ended_at"]), (&"pending".into(), &Value::Null));

    let mut alive = server.start_beside(|options| options.webhooks.at_once = 1).await;
    let_the_time_pass(&server).await;
    let second = receiver.next().await;
    assert_eq!((second.id(), &second.body), (first.id(), &first.body));
    let delivery = eventually("it is delivered", || async {
        let delivery = deliveries(&client, &job).await.remove(0);
        (delivery["status"] == "delivered").then_some(delivery)
    })
    .await;
    let ends: Vec<_> = delivery["attempts"].as_array().unwrap().iter().map(|attempt| &attempt["status_code"]).collect();
    assert_eq!(ends, [&Value::Null, &json!(204)], "the attempt that was lost stays in the log");
    alive.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_gives_an_attempt_under_way_a_moment_to_end() {
    let (mut server, mut receiver) = (server().await, Receiver::start().await);
    let client = server.client();
    let job = cancelled_job(&client, &receiver).await;
    receiver.next().await;
    server.stop().await;
    server.restart().await;
    let delivery = after_attempts(&server.client(), &job, 1).await;
    assert_eq!(delivery["status"], "delivered");
    assert!(receiver.rest().is_empty(), "it was not made again");
    assert_eq!(server.client().get("/readyz").await.status, StatusCode::OK);
}

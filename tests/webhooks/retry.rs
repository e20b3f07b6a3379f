//! Receivers that do not answer as they should, and deliveries that are asked for again.

use reqwest::StatusCode;
use reqwest::header::{LOCATION, RETRY_AFTER};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{after_attempts, cancelled_job, let_the_time_pass, server};
use crate::harness::{Receiver, Reply, TestServer};

fn time_of(value: &Value) -> OffsetDateTime {
    OffsetDateTime::parse(value.as_str().unwrap(), &Rfc3339).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_500_the_same_message_comes_again() {
    let (server, mut receiver) = (server().await, Receiver::start().await);
    let client = server.client();
    receiver.reply(Reply::Status(500));
    let job = cancelled_job(&client, &receiver).await;
    let first = receiver.next().await;
    let waiting = after_attempts(&client, &job, 1).await;
    assert_eq!(waiting["status"], "pending");
    assert_eq!(waiting["attempts"][0]["status_code"], 500);
    let error = waiting["attempts"][0]["error"].as_str().unwrap();
    assert_eq!(error, "the receiver answered 500: 200 to 299 is success");
    let pause = time_of(&waiting["next_attempt_at"]) - time_of(&waiting["attempts"][0]["ended_at"]);
    assert!(pause.whole_seconds() <= 10, "{waiting}");

    let_the_time_pass(&server).await;
    let second = receiver.next().await;
    assert_eq!((second.id(), &second.body), (first.id(), &first.body));
    let delivered = after_attempts(&client, &job, 2).await;
    assert_eq!(delivered["status"], "delivered");
    assert_eq!(delivered["attempts"][1]["status_code"], 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_gone_is_not_asked_again() {
    let (server, receiver) = (server().await, Receiver::start().await);
    receiver.reply(Reply::Status(410));
    let job = cancelled_job(&server.client(), &receiver).await;
    let delivery = after_attempts(&server.client(), &job, 1).await;
    assert_eq!((&delivery["status"], &delivery["next_attempt_at"]), (&"failed".into(), &Value::Null));
    assert!(delivery["attempts"][0]["error"].as_str().unwrap().contains("it wants no more"), "{delivery}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_receiver_is_left_alone_for_as_long_as_it_asks() {
    let (server, receiver) = (server().await, Receiver::start().await);
    for status in [429, 503] {
        receiver.reply(Reply::With(status, RETRY_AFTER, "3600".to_owned()));
        let job = cancelled_job(&server.client(), &receiver).await;
        let delivery = after_attempts(&server.client(), &job, 1).await;
        let pause = time_of(&delivery["next_attempt_at"]) - time_of(&delivery["attempts"][0]["ended_at"]);
        assert!((3599..=3601).contains(&pause.whole_seconds()), "{status}: {delivery}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_tenth_failure_it_is_given_up_until_somebody_asks_for_it_again() {
    let (server, mut receiver) = (server().await, Receiver::start().await);
    let client = server.client();
    receiver.reply(Reply::Status(404));
    let job = cancelled_job(&client, &receiver).await;
    let first = receiver.next().await;
    after_attempts(&client, &job, 1).await;
    sqlx::query("update webhook_delivery set failures = 9").execute(server.pool()).await.unwrap();
    receiver.reply(Reply::Status(404));
    let_the_time_pass(&server).await;
    assert_eq!(after_attempts(&client, &job, 2).await["status"], "failed");

    let path = format!("/v1/jobs/{job}/deliveries/{}/redeliver", first.id());
    for attempts in [3, 4] {
        let asked = client.post(&path).await.expect(StatusCode::ACCEPTED);
        assert_eq!((&asked["id"], &asked["status"]), (&first.id().into(), &"pending".into()));
        let delivered = after_attempts(&client, &job, attempts).await;
        assert_eq!(delivered["status"], "delivered", "what has arrived can be asked for too");
    }
    let bodies: Vec<_> = receiver.rest().into_iter().map(|received| received.body).collect();
    assert_eq!(bodies, [&first.body[..], &first.body, &first.body]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_delivery_of_the_job_cannot_be_asked_for() {
    let (server, receiver) = (server().await, Receiver::start().await);
    let client = server.client();
    let (job, other) = (cancelled_job(&client, &receiver).await, cancelled_job(&client, &receiver).await);
    let of_other = after_attempts(&client, &other, 1).await["id"].as_str().unwrap().to_owned();
    for delivery in [of_other, secateur::id::DeliveryId::generate().to_string(), "nothing".to_owned()] {
        let answer = client.post(&format!("/v1/jobs/{job}/deliveries/{delivery}/redeliver")).await;
        let problem = answer.problem(404, "delivery_not_found");
        assert!(problem["detail"].as_str().unwrap().contains(&format!("no delivery `{delivery}`")), "{problem}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_does_not_answer_is_not_waited_for() {
    let server = TestServer::start_with(|options| {
        options.webhooks.allow = vec!["127.0.0.1".parse().unwrap()];
        options.webhooks.timeout = std::time::Duration::from_secs(1);
    })
    .await;
    let receiver = Receiver::start().await;
    receiver.reply(Reply::Hang);
    let job = cancelled_job(&server.client(), &receiver).await;
    let delivery = after_attempts(&server.client(), &job, 1).await;
    assert_eq!(delivery["status"], "pending");
    assert_eq!(delivery["attempts"][0]["error"], "no answer within 1 seconds");
    assert_eq!(delivery["attempts"][0]["status_code"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_away_is_said_to_be() {
    let (server, receiver) = (server().await, Receiver::start().await);
    let client = server.client();
    let url = receiver.url();
    drop(receiver);
    let job = client.submit_hooked(json!({"url": url})).await;
    client.post(&format!("/v1/jobs/{job}/cancel")).await.expect(StatusCode::OK);
    let delivery = after_attempts(&client, &job, 1).await;
    let error = delivery["attempts"][0]["error"].as_str().unwrap();
    assert!(error.starts_with("no connection: Connection refused"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_not_followed() {
    let (server, receiver, mut elsewhere) = (server().await, Receiver::start().await, Receiver::start().await);
    for status in [302, 307, 308] {
        receiver.reply(Reply::With(status, LOCATION, elsewhere.url()));
        let job = cancelled_job(&server.client(), &receiver).await;
        let delivery = after_attempts(&server.client(), &job, 1).await;
        assert_eq!(delivery["attempts"][0]["status_code"], status);
        assert!(delivery["attempts"][0]["error"].as_str().unwrap().contains("redirects are not followed"));
    }
    assert!(elsewhere.rest().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let (server, receiver) = (server().await, Receiver::start().await);
    receiver.reply(Reply::Endless);
    let job = cancelled_job(&server.client(), &receiver).await;
    let delivery = after_attempts(&server.client(), &job, 1).await;
    assert_eq!((&delivery["status"], &delivery["attempts"][0]["status_code"]), (&"delivered".into(), &200.into()));
}

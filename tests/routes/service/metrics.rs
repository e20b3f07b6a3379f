//! `GET /metrics`

use std::time::Duration;

use reqwest::{Method, StatusCode};
use secateur::access::Scope;

use crate::harness::{Away, Client, Hand, TestServer, eventually, send};

const SHORT: Duration = Duration::from_millis(1);

async fn scrape(client: &Client) -> String {
    let answer = client.get("/metrics").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", String::from_utf8_lossy(&answer.body));
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    String::from_utf8(answer.body).unwrap()
}

/// The value of a sample, by its name and labels as they stand in the text.
fn sample(text: &str, series: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
    Some(line.parse().unwrap())
}

/// Waits until a sample has a value; figures of the queue are read once a second.
async fn shows(client: &Client, series: &str, value: f64) {
    eventually(series, || async { (sample(&scrape(client).await, series) == Some(value)).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_shows_in_the_figures_from_its_submission_to_its_artifacts() {
    let server = TestServer::start().await;
    let client = server.client();
    client.submit().await;
    shows(&client, r#"secateur_tasks{stage="import",state="queued"}"#, 1.0).await;
    let text = scrape(&client).await;
    assert_eq!(sample(&text, r#"secateur_jobs{status="queued"}"#), Some(1.0));
    assert_eq!(sample(&text, r#"secateur_tasks{stage="tune",state="running"}"#), Some(0.0), "what is not there is 0");
    assert!(sample(&text, r#"secateur_oldest_queued_task_age_seconds{stage="import"}"#).unwrap() > 0.0);
    assert!(sample(&text, r#"secateur_stored_bytes{kind="model"}"#).unwrap() > 1000.0);
    assert_eq!(sample(&text, "secateur_database_up"), Some(1.0));

    let hand = Hand::of(&server);
    let import = hand.claim().await;
    shows(&client, r#"secateur_tasks{stage="import",state="running"}"#, 1.0).await;
    hand.finish(&import).await;
    hand.finish_all().await;
    shows(&client, r#"secateur_jobs{status="succeeded"}"#, 1.0).await;
    assert!(sample(&scrape(&client).await, r#"secateur_stored_bytes{kind="artifact"}"#).unwrap() > 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_counted_by_route_and_never_by_what_a_client_invents() {
    let server = TestServer::start().await;
    let client = server.client();
    let id = client.submit().await;
    for _ in 0..2 {
        client.get(&format!("/v1/jobs/{id}")).await.expect(StatusCode::OK);
    }
    client.get("/v1/invented/by/me").await.problem(404, "route_not_found");
    send(client.request(Method::from_bytes(b"INVENT").unwrap(), "/v1/jobs")).await.problem(405, "method_not_allowed");
    let text = scrape(&client).await;
    let count = |labels: &str| sample(&text, &format!("secateur_http_request_duration_seconds_count{{{labels}}}"));
    assert_eq!(count(r#"method="GET",path="/v1/jobs/{id}",status="200""#), Some(2.0));
    assert_eq!(count(r#"method="POST",path="/v1/jobs",status="202""#), Some(1.0));
    assert_eq!(count(r#"method="GET",path="other",status="404""#), Some(1.0));
    assert_eq!(count(r#"method="other",path="/v1/jobs",status="405""#), Some(1.0));
    assert!(!text.contains("invented") && !text.contains("INVENT") && !text.contains(&id), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_is_taken_from_a_silent_worker_is_counted() {
    let server = TestServer::start_with(|options| options.lease = Duration::from_secs(1)).await;
    let client = server.client();
    client.submit().await;
    assert_eq!(sample(&scrape(&client).await, "secateur_lease_expiries_total"), Some(0.0));
    Hand::with_lease(&server, SHORT).claim().await;
    shows(&client, "secateur_lease_expiries_total", 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn once_there_is_a_key_it_takes_one_of_an_administrator() {
    let server = TestServer::start().await;
    let administrator = server.client_of("vision", Scope::Admin).await;
    server.client().get("/metrics").await.problem(401, "unauthenticated");
    server.client_of("vision", Scope::Submit).await.get("/metrics").await.problem(403, "insufficient_scope");
    let text = scrape(&administrator).await;
    assert!(!text.contains("vision"), "no figure is of a tenant: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_may_show_them_to_everyone() {
    let server = TestServer::start_with(|options| options.access.public_metrics = true).await;
    server.client_of("vision", Scope::Admin).await;
    scrape(&server.client()).await;
    server.client().get("/v1/jobs").await.problem(401, "unauthenticated");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_database_is_away_they_say_so_and_leave_out_what_it_would_tell() {
    let server = TestServer::start_with_own_postgres(|options| options.access.public_metrics = true).await;
    let client = server.client();
    let away = Away::new(&server.data_folder());
    shows(&client, "secateur_database_up", 0.0).await;
    let text = scrape(&client).await;
    assert!(!text.contains("secateur_tasks{") && text.contains("secateur_database_connections_max"), "{text}");
    drop(away);
    shows(&client, "secateur_database_up", 1.0).await;
}

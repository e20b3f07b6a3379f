//! `/v1/webhook-secrets`: what deliveries are signed with.

use reqwest::StatusCode;
use secateur::access::Scope;
use serde_json::json;

use super::{cancelled_job, server};
use crate::cli::{secateur, stdout};
use crate::harness::{Client, Receiver, TestServer};

async fn make(administrator: &Client, body: serde_json::Value) -> (String, String) {
    let made = administrator.post_json("/v1/webhook-secrets", &body).await.expect(StatusCode::CREATED);
    (made["id"].as_str().unwrap().to_owned(), made["secret"].as_str().unwrap().to_owned())
}

async fn listed(administrator: &Client) -> Vec<serde_json::Value> {
    let list = administrator.get("/v1/webhook-secrets").await.expect(StatusCode::OK);
    list["items"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_secrets_sign_while_receivers_move_from_one_to_the_other() {
    let (server, mut receiver) = (server().await, Receiver::start().await);
    let client = server.client_of("vision", Scope::Admin).await;
    let (old_id, old) = make(&client, json!({})).await;
    let (new_id, new) = make(&client, json!({"grace_hours": 2})).await;
    let list = listed(&client).await;
    assert_eq!((&list[0]["id"], &list[1]["id"]), (&new_id.into(), &old_id.clone().into()));
    assert!(list[0]["retires_at"].is_null() && list[1]["retires_at"].is_string(), "{list:?}");

    cancelled_job(&client, &receiver).await;
    let received = receiver.next().await;
    assert_eq!(received.signatures(), 2);
    assert!(received.is_signed_with(&old) && received.is_signed_with(&new));

    assert_eq!(client.delete(&format!("/v1/webhook-secrets/{old_id}")).await.status, StatusCode::NO_CONTENT);
    cancelled_job(&client, &receiver).await;
    let received = receiver.next().await;
    assert!(!received.is_signed_with(&old) && received.is_signed_with(&new));

    let (_, newest) = make(&client, json!({"grace_hours": 0})).await;
    cancelled_job(&client, &receiver).await;
    let received = receiver.next().await;
    assert!(received.is_signed_with(&newest) && !received.is_signed_with(&new), "its grace was none");
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_sign_with_their_own_secrets() {
    let (server, mut receiver) = (server().await, Receiver::start().await);
    let (ours, theirs) = (server.client_of("ours", Scope::Admin).await, server.client_of("theirs", Scope::Admin).await);
    let (our_id, our_secret) = make(&ours, json!({})).await;
    let (_, their_secret) = make(&theirs, json!({})).await;
    cancelled_job(&theirs, &receiver).await;
    let received = receiver.next().await;
    assert!(received.is_signed_with(&their_secret) && !received.is_signed_with(&our_secret));
    assert_eq!(listed(&theirs).await.len(), 1);
    theirs.delete(&format!("/v1/webhook-secrets/{our_id}")).await.problem(404, "webhook_secret_not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_signed_before_anybody_has_made_a_secret() {
    let (server, mut receiver) = (server().await, Receiver::start().await);
    let client = server.client();
    cancelled_job(&client, &receiver).await;
    assert_eq!(receiver.next().await.signatures(), 1);
    let unknown: String = sqlx::query_scalar("select secret from webhook_secret where not was_shown")
        .fetch_one(server.pool())
        .await
        .unwrap();

    let made =
        secateur().args(["webhook-secret", "create", "--database-url", &server.database_url()]).output().unwrap();
    let secret = stdout(&made).trim().to_owned();
    cancelled_job(&client, &receiver).await;
    let received = receiver.next().await;
    assert!(received.is_signed_with(&secret) && !received.is_signed_with(&unknown), "nobody could miss the old one");
    assert_eq!(received.signatures(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_shown_once_and_no_more_than_ten_are_in_force() {
    let server = TestServer::start().await;
    let client = server.client_of("vision", Scope::Admin).await;
    let answer = client.post("/v1/webhook-secrets").await;
    let made = answer.expect(StatusCode::CREATED);
    assert!(made["secret"].as_str().unwrap().starts_with("whsec_"), "{made}");
    assert_eq!(answer.header("location"), format!("/v1/webhook-secrets/{}", made["id"].as_str().unwrap()));
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(listed(&client).await[0].get("secret"), None);
    for _ in 1..10 {
        make(&client, json!({})).await;
    }
    let problem = client.post("/v1/webhook-secrets").await.problem(409, "too_many_webhook_secrets");
    assert!(problem["detail"].as_str().unwrap().contains("10 secrets"), "{problem}");
    assert!(listed(&client).await[0]["retires_at"].is_null(), "the refusal has changed nothing");
    let problem = client.post_json("/v1/webhook-secrets", &json!({"grace_hours": 721})).await;
    let problem = problem.problem(400, "invalid_parameter");
    assert_eq!(problem["detail"], "`grace_hours` is `721`: it must be a whole number from 0 to 720.");
}

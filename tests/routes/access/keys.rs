//! `/v1/keys`, and what becomes of a key.

use reqwest::StatusCode;
use secateur::access::Scope;
use serde_json::json;

use super::{ids, list};
use crate::harness::{Client, TestServer, eventually};

async fn make(administrator: &Client, body: serde_json::Value) -> (String, String) {
    let key = administrator.post_json("/v1/keys", &body).await.expect(StatusCode::CREATED);
    (key["id"].as_str().unwrap().to_owned(), key["secret"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_works_from_when_it_is_made_until_it_is_revoked() {
    let server = TestServer::start().await;
    let administrator = server.client_of("vision", Scope::Admin).await;
    let answer = administrator.post_json("/v1/keys", &json!({"name": "ci", "scope": "read"})).await;
    let key = answer.expect(StatusCode::CREATED);
    let (id, secret) = (key["id"].as_str().unwrap(), key["secret"].as_str().unwrap());
    assert_eq!(answer.header("location"), format!("/v1/keys/{id}"));
    assert_eq!(answer.header("cache-control"), "no-store");
    assert!(id.starts_with("key_") && secret.starts_with("sec_"), "{key}");
    assert_eq!((&key["name"], &key["tenant"], &key["scope"]), (&"ci".into(), &"vision".into(), &"read".into()));

    let client = server.client().with_key(secret);
    assert_eq!(client.get("/v1/jobs").await.status, StatusCode::OK);
    assert_eq!(administrator.delete(&format!("/v1/keys/{id}")).await.status, StatusCode::NO_CONTENT);
    client.get("/v1/jobs").await.problem(401, "unauthenticated");
    assert_eq!(administrator.delete(&format!("/v1/keys/{id}")).await.status, StatusCode::NO_CONTENT, "again");
    let listed = list(&administrator, "/v1/keys").await;
    assert!(listed[0]["revoked_at"].is_string() && listed[1]["revoked_at"].is_null(), "{listed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_shown_once_and_kept_nowhere() {
    let server = TestServer::start().await;
    let administrator = server.client_of("default", Scope::Admin).await;
    let (_, secret) = make(&administrator, json!({"name": "ci"})).await;
    server.client().with_key(&secret).get("/v1/jobs").await.expect(StatusCode::OK);
    let listed = administrator.get("/v1/keys").await;
    let rows: Vec<String> =
        sqlx::query_scalar("select api_key::text from api_key").fetch_all(server.pool()).await.unwrap();
    for text in rows.iter().map(String::as_str).chain([std::str::from_utf8(&listed.body).unwrap()]) {
        assert!(!text.contains(&secret[4..20]), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_sees_and_revokes_keys_of_their_own_tenant_only() {
    let server = TestServer::start().await;
    let (theirs, _) = server.make_key("theirs", Scope::Read).await;
    let administrator = server.client_of("ours", Scope::Admin).await;
    let (ours, _) = make(&administrator, json!({"name": "ours"})).await;
    let seen = ids(&administrator, "/v1/keys").await;
    assert!(seen.contains(&ours) && !seen.contains(&theirs.to_string()), "{seen:?}");
    administrator.delete(&format!("/v1/keys/{theirs}")).await.problem(404, "key_not_found");
    let with_tenant = json!({"name": "x", "tenant": "theirs"});
    administrator.post_json("/v1/keys", &with_tenant).await.problem(400, "invalid_json");
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_a_key_cannot_have_are_named() {
    let server = TestServer::start().await;
    let administrator = server.client_of("default", Scope::Admin).await;
    for (body, named) in [
        (json!({"name": ""}), "name"),
        (json!({"name": "a\u{7}"}), "name"),
        (json!({"name": "ci", "expires_in_days": 0}), "expires_in_days"),
        (json!({"name": "ci", "expires_in_days": 3651}), "expires_in_days"),
    ] {
        let problem = administrator.post_json("/v1/keys", &body).await.problem(400, "invalid_parameter");
        assert!(problem["detail"].as_str().unwrap().contains(named), "{problem}");
    }
    administrator.post_json("/v1/keys", &json!({"name": "ci", "scope": "root"})).await.problem(400, "invalid_json");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_key_is_refused_and_does_not_open_the_server() {
    let server = TestServer::start().await;
    let (id, secret) = server.make_key("default", Scope::Read).await;
    let client = server.client().with_key(&secret);
    client.get("/v1/jobs").await.expect(StatusCode::OK);
    let expire = "update api_key set expires_at = now() - interval '1 second' where id = $1";
    sqlx::query(expire).bind(id.uuid()).execute(server.pool()).await.unwrap();
    client.get("/v1/jobs").await.problem(401, "unauthenticated");
    server.client().get("/v1/jobs").await.problem(401, "unauthenticated");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_key_closes_a_loopback_server_and_the_last_ones_end_opens_it() {
    let server = TestServer::start().await;
    let anonymous = server.client();
    let job = anonymous.submit().await;
    anonymous.post_json("/v1/keys", &json!({"name": "mine"})).await.problem(403, "insufficient_scope");
    anonymous.with_key("sec_wrong").get("/v1/jobs").await.problem(401, "unauthenticated");

    let (id, secret) = server.make_key("default", Scope::Admin).await;
    anonymous.get("/v1/jobs").await.problem(401, "unauthenticated");
    let client = server.client().with_key(&secret);
    assert_eq!(ids(&client, "/v1/jobs").await, [job], "what was there belongs to `default`");
    client.delete(&format!("/v1/keys/{id}")).await;
    assert_eq!(anonymous.get("/v1/jobs").await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_counts_as_used_to_the_minute() {
    let server = TestServer::start().await;
    let (id, secret) = server.make_key("default", Scope::Read).await;
    let used_at = || async {
        let query = "select last_used_at::text from api_key where id = $1";
        sqlx::query_scalar::<_, Option<String>>(query).bind(id.uuid()).fetch_one(server.pool()).await.unwrap()
    };
    assert_eq!(used_at().await, None);
    let client = server.client().with_key(&secret);
    client.get("/v1/jobs").await;
    let first = used_at().await.expect("it was used");
    client.get("/v1/jobs").await;
    assert_eq!(used_at().await.as_ref(), Some(&first), "one write a minute");
    let an_hour_ago = "update api_key set last_used_at = now() - interval '1 hour'";
    sqlx::query(an_hour_ago).execute(server.pool()).await.unwrap();
    client.get("/v1/jobs").await;
    assert!(used_at().await.unwrap() >= first);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_events_ends_when_its_key_is_revoked() {
    let server = TestServer::start().await;
    let administrator = server.client_of("default", Scope::Admin).await;
    let job = administrator.submit().await;
    let (id, secret) = server.make_key("default", Scope::Read).await;
    let stream = server.client().with_key(&secret).request(reqwest::Method::GET, &format!("/v1/jobs/{job}/events"));
    let mut stream = stream.header("accept", "text/event-stream").send().await.unwrap();
    assert!(stream.chunk().await.unwrap().is_some(), "the first event");
    let ended = tokio::spawn(async move { while let Ok(Some(_)) = stream.chunk().await {} });
    administrator.delete(&format!("/v1/keys/{id}")).await;
    eventually("the stream ends", || async { ended.is_finished().then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_tells_strangers_nothing_but_itself() {
    let server = TestServer::start().await;
    assert!(server.client().get("/readyz").await.expect(StatusCode::OK)["version"].is_string());
    let client = server.client_of("default", Scope::Read).await;
    let told = server.client().get("/readyz").await.expect(StatusCode::OK);
    let members: Vec<&String> = told.as_object().unwrap().keys().collect();
    assert_eq!(members, ["status", "checks"], "{told}");
    assert!(client.get("/readyz").await.expect(StatusCode::OK)["version"].is_string());
}

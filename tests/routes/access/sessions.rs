//! `/v1/session`: a key becomes a cookie.

use reqwest::{Method, RequestBuilder, StatusCode};
use secateur::access::Scope;
use serde_json::{Value, json};

use crate::harness::{Answer, TestServer, send};

/// A browser with a session.
struct Browser {
    client: crate::harness::Client,
    cookie: String,
    csrf_token: String,
}

impl Browser {
    async fn log_in(server: &TestServer, secret: &str) -> Self {
        let answer = server.client().post_json("/v1/session", &json!({"key": secret})).await;
        let session = answer.expect(StatusCode::CREATED);
        Self { client: server.client(), cookie: cookie(&answer), csrf_token: text(&session["csrf_token"]) }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, path).header("cookie", format!("theme=dark; {}; last=1", self.cookie))
    }

    async fn get(&self, path: &str) -> Answer {
        send(self.request(Method::GET, path)).await
    }

    async fn cancel(&self, job: &str, csrf_token: Option<&str>) -> Answer {
        let request = self.request(Method::POST, &format!("/v1/jobs/{job}/cancel"));
        send(csrf_token.into_iter().fold(request, |request, token| request.header("x-csrf-token", token))).await
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// `name=value` out of `Set-Cookie`.
fn cookie(answer: &Answer) -> String {
    answer.header("set-cookie").split(';').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_reads_by_itself_and_changes_something_only_with_its_token() {
    let server = TestServer::start().await;
    let (key, secret) = server.make_key("default", Scope::Submit).await;
    let job = server.client().with_key(&secret).submit().await;
    let (browser, other) = (Browser::log_in(&server, &secret).await, Browser::log_in(&server, &secret).await);

    assert_eq!(browser.get("/v1/jobs").await.status, StatusCode::OK);
    browser.cancel(&job, None).await.problem(403, "csrf_token_needed");
    browser.cancel(&job, Some("")).await.problem(403, "csrf_token_needed");
    browser.cancel(&job, Some(&other.csrf_token)).await.problem(403, "csrf_token_needed");
    let shown = browser.get("/v1/session").await.expect(StatusCode::OK);
    assert_eq!(shown["csrf_token"], browser.csrf_token.as_str());
    assert_eq!((&shown["tenant"], &shown["scope"]), (&"default".into(), &"submit".into()));
    assert_eq!(shown["key_id"], key.to_string());
    browser.cancel(&job, Some(&browser.csrf_token)).await.expect(StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_when_it_is_closed_when_it_expires_and_with_its_key() {
    let server = TestServer::start().await;
    let (key, secret) = server.make_key("default", Scope::Submit).await;
    let (closed, expired, open) = (
        Browser::log_in(&server, &secret).await,
        Browser::log_in(&server, &secret).await,
        Browser::log_in(&server, &secret).await,
    );
    send(closed.request(Method::DELETE, "/v1/session")).await.problem(403, "csrf_token_needed");
    let close = closed.request(Method::DELETE, "/v1/session").header("x-csrf-token", &closed.csrf_token);
    let answer = send(close).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert!(answer.header("set-cookie").contains("Max-Age=0"), "{:?}", answer.headers);
    closed.get("/v1/jobs").await.problem(401, "unauthenticated");

    let token = expired.cookie.split_once('=').unwrap().1;
    let sha256 = secateur::digest::Sha256::of(token.as_bytes()).to_string();
    let expire = "update session set expires_at = now() - interval '1 second' where sha256 = $1";
    assert_eq!(sqlx::query(expire).bind(sha256).execute(server.pool()).await.unwrap().rows_affected(), 1);
    expired.get("/v1/jobs").await.problem(401, "unauthenticated");

    assert_eq!(open.get("/v1/jobs").await.status, StatusCode::OK);
    secateur::table::api_key::revoke(server.pool(), key).await.unwrap();
    server.make_key("default", Scope::Read).await;
    open.get("/v1/jobs").await.problem(401, "unauthenticated");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cookie_is_kept_from_scripts_and_from_other_sites() {
    let server = TestServer::start_with(|options| {
        options.access.public_url = Some("https://pruner.example".parse().unwrap());
        options.access.allow_anonymous = true;
    })
    .await;
    let (_, secret) = server.make_key("default", Scope::Read).await;
    let client = server.client().with_key(&secret);
    let set = client.post("/v1/session").await;
    set.expect(StatusCode::CREATED);
    let cookie = set.header("set-cookie");
    assert!(cookie.starts_with("__Host-secateur=ses_"), "{cookie}");
    assert!(cookie.ends_with("; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict; Secure"), "{cookie}");

    let plain = TestServer::start().await;
    let (_, secret) = plain.make_key("default", Scope::Read).await;
    let set = plain.client().with_key(&secret).post("/v1/session").await;
    let cookie = set.header("set-cookie");
    assert!(cookie.starts_with("secateur=ses_"), "{cookie}");
    assert!(cookie.ends_with("; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict"), "{cookie}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_takes_a_key_and_a_key_needs_no_token() {
    let server = TestServer::start().await;
    let client = server.client();
    client.post("/v1/session").await.problem(401, "unauthenticated");
    client.post_json("/v1/session", &json!({"key": "sec_wrong"})).await.problem(401, "unauthenticated");
    client.post_json("/v1/session", &json!({"key": "x".repeat(5000)})).await.problem(413, "payload_too_large");
    client.post_json("/v1/session", &json!({})).await.problem(400, "invalid_json");
    let anonymous = client.get("/v1/session").await.expect(StatusCode::OK);
    assert_eq!((&anonymous["key_id"], &anonymous["csrf_token"]), (&Value::Null, &Value::Null));

    let (_, secret) = server.make_key("default", Scope::Submit).await;
    let browser = Browser::log_in(&server, &secret).await;
    let job = client.with_key(&secret).submit().await;
    let both = browser.request(Method::POST, &format!("/v1/jobs/{job}/cancel")).bearer_auth(&secret);
    send(both).await.expect(StatusCode::OK);
    let token = browser.cookie.split_once('=').unwrap().1;
    client.with_key(token).get("/v1/jobs").await.problem(401, "unauthenticated");
    let rows: Vec<String> =
        sqlx::query_scalar("select session::text from session").fetch_all(server.pool()).await.unwrap();
    assert!(rows.iter().all(|row| !row.contains(&token[4..20])), "{rows:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_that_is_left_over_does_not_lock_a_browser_out_of_a_server_without_keys() {
    let server = TestServer::start().await;
    let (key, secret) = server.make_key("default", Scope::Submit).await;
    let browser = Browser::log_in(&server, &secret).await;
    secateur::table::api_key::revoke(server.pool(), key).await.unwrap();
    let session = browser.get("/v1/session").await.expect(StatusCode::OK);
    assert_eq!((&session["key_id"], &session["csrf_token"]), (&Value::Null, &Value::Null));
}

//! Every route, out of the API's own description: a new one is tested without a word here.

use reqwest::{Method, StatusCode};
use secateur::access::Scope;

use super::Belongings;
use crate::harness::{Answer, Client, TestServer, send};

const PUBLIC: [(Method, &str); 4] = [
    (Method::GET, "/healthz"),
    (Method::GET, "/readyz"),
    (Method::GET, "/openapi.json"),
    // It looks at the key itself.
    (Method::POST, "/v1/session"),
];

/// Every operation: its method and its path as described, `/v1/jobs/{id}`.
fn operations() -> Vec<(Method, String)> {
    let document = serde_json::to_value(secateur::http::openapi_document()).unwrap();
    let paths = document["paths"].as_object().unwrap().clone();
    let operations = paths.into_iter().flat_map(|(path, methods)| {
        let methods: Vec<String> = methods.as_object().unwrap().keys().map(|name| name.to_uppercase()).collect();
        methods.into_iter().map(move |method| (method.parse().unwrap(), path.clone()))
    });
    operations.collect()
}

fn guarded_operations() -> Vec<(Method, String)> {
    let guarded = operations().into_iter().filter(|(method, path)| !PUBLIC.contains(&(method.clone(), path.as_str())));
    let guarded: Vec<_> = guarded.collect();
    assert!(guarded.len() >= 20, "{guarded:?}");
    guarded
}

/// A described path with ids of somebody's things, or ids that name nothing.
fn fill(path: &str, belongings: Option<&Belongings>) -> String {
    let id = match (path.split('/').nth(2), belongings) {
        (Some("jobs"), of) => of.map_or_else(|| secateur::id::JobId::generate().to_string(), |of| of.job.clone()),
        (Some("models"), of) => of.map_or_else(|| secateur::id::ModelId::generate().to_string(), |of| of.model.clone()),
        (Some("datasets"), of) => {
            of.map_or_else(|| secateur::id::DatasetId::generate().to_string(), |of| of.dataset.clone())
        }
        (Some("uploads"), of) => {
            of.map_or_else(|| secateur::id::UploadId::generate().to_string(), |of| of.upload.clone())
        }
        (Some("webhook-secrets"), of) => {
            of.map_or_else(|| secateur::id::WebhookSecretId::generate().to_string(), |of| of.webhook_secret.clone())
        }
        (_, of) => of.map_or_else(|| secateur::id::KeyId::generate().to_string(), |of| of.key.clone()),
    };
    path.replace("{id}", &id)
        .replace("{name}", "log.txt")
        .replace("{delivery_id}", &secateur::id::DeliveryId::generate().to_string())
}

async fn ask(client: &Client, method: &Method, path: &str) -> Answer {
    // What tus wants of every request, and nobody else looks at.
    send(client.request(method.clone(), path).header("tus-resumable", "1.0.0")).await
}

/// The scope that an operation needs.
fn scope_of(method: &Method, path: &str) -> Scope {
    match path {
        "/metrics" => Scope::Admin,
        _ if path.starts_with("/v1/keys") || path.starts_with("/v1/webhook-secrets") => Scope::Admin,
        "/v1/session" => Scope::Read,
        _ if method.is_safe() => Scope::Read,
        _ => Scope::Submit,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_but_the_public_ones_asks_for_a_key_as_soon_as_there_is_one() {
    let server = TestServer::start().await;
    let belongings = Belongings::of(&server, "default").await;
    let anonymous = server.client();
    let unknown = anonymous.with_key(&format!("sec_{}", "0".repeat(72)));
    for (method, path) in guarded_operations() {
        let path = fill(&path, Some(&belongings));
        let answer = ask(&anonymous, &method, &path).await;
        if method == Method::HEAD {
            // An answer to HEAD has no body to say more.
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
            continue;
        }
        answer.problem(401, "unauthenticated");
        assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"secateur\"", "{method} {path}");
        let answer = ask(&unknown, &method, &path).await;
        answer.problem(401, "unauthenticated");
        assert!(answer.header("www-authenticate").contains("error=\"invalid_token\""), "{method} {path}");
    }
    for (method, path) in PUBLIC.into_iter().filter(|(method, _)| method == Method::GET) {
        assert_eq!(ask(&anonymous, &method, path).await.status, StatusCode::OK, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_names_the_scope_that_a_key_lacks() {
    let server = TestServer::start().await;
    let belongings = Belongings::of(&server, "default").await;
    for scope in [Scope::Read, Scope::Submit] {
        let client = server.client_of("default", scope).await;
        for (method, path) in guarded_operations() {
            let needed = scope_of(&method, &path);
            if scope.includes(needed) {
                continue;
            }
            let answer = ask(&client, &method, &fill(&path, Some(&belongings))).await;
            let problem = answer.problem(403, "insufficient_scope");
            assert!(problem["detail"].as_str().unwrap().contains(&format!("`{needed}`")), "{method} {path}: {problem}");
            assert!(answer.header("www-authenticate").contains(&format!("scope=\"{needed}\"")), "{method} {path}");
        }
    }
    let reader = server.client_of("default", Scope::Read).await;
    for (method, path) in
        guarded_operations().into_iter().filter(|(method, path)| scope_of(method, path) == Scope::Read)
    {
        let answer = ask(&reader, &method, &fill(&path, Some(&belongings))).await;
        assert!(answer.status.is_success(), "{method} {path}: {}", answer.status);
    }
    assert_eq!(belongings.client.get(&format!("/v1/jobs/{}", belongings.job)).await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_answers_for_what_others_have_as_for_what_is_not_there() {
    let server = TestServer::start().await;
    let theirs = Belongings::of(&server, "theirs").await;
    let stranger = server.client_of("stranger", Scope::Admin).await;
    let mut asked = 0;
    for (method, path) in guarded_operations().into_iter().filter(|(_, path)| path.contains("{id}")) {
        let (of_theirs, of_nobody) = (fill(&path, Some(&theirs)), fill(&path, None));
        let (for_theirs, for_nothing) =
            (ask(&stranger, &method, &of_theirs).await, ask(&stranger, &method, &of_nobody).await);
        assert_eq!(for_theirs.status, StatusCode::NOT_FOUND, "{method} {path}");
        assert_eq!(text(&for_theirs, &of_theirs), text(&for_nothing, &of_nobody), "{method} {path}");
        let names = |answer: &Answer| answer.headers.keys().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names(&for_theirs), names(&for_nothing), "{method} {path}");
        asked += 1;
    }
    assert!(asked >= 10, "{asked}");
    assert_eq!(theirs.client.get(&format!("/v1/jobs/{}", theirs.job)).await.expect(StatusCode::OK)["status"], "queued");
}

/// A body without the id that was asked for.
fn text(answer: &Answer, path: &str) -> String {
    let id = path.split('/').nth(3).unwrap();
    String::from_utf8(answer.body.clone()).unwrap().replace(id, "ID")
}

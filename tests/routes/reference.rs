//! `/docs/`: the reference of the API.

use reqwest::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION};
use reqwest::redirect::Policy;
use reqwest::{Response, StatusCode};
use secateur::access::Scope;

use crate::harness::TestServer;

async fn ask(server: &TestServer, path: &str) -> Response {
    let client = reqwest::Client::builder().redirect(Policy::none()).build().unwrap();
    client.get(format!("http://{}{path}", server.address())).send().await.unwrap()
}

fn header(answer: &Response, name: reqwest::header::HeaderName) -> &str {
    answer.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reference_is_there_for_everybody_and_reads_our_description() {
    let server = TestServer::start().await;
    server.make_key("ours", Scope::Admin).await;
    let short = ask(&server, "/docs").await;
    assert_eq!((short.status(), header(&short, LOCATION)), (StatusCode::PERMANENT_REDIRECT, "/docs/"));
    let page = ask(&server, "/docs/").await;
    assert_eq!((page.status(), header(&page, CONTENT_TYPE)), (StatusCode::OK, "text/html"));
    let policy = header(&page, CONTENT_SECURITY_POLICY);
    assert!(policy.starts_with("default-src 'none'; script-src 'self';") && !policy.contains("unsafe"), "{policy}");
    let page = page.text().await.unwrap();
    assert!(!page.contains("<style") && !page.contains("<script>"), "{page}");
    for (file, kind) in [("swagger-ui-bundle.js", "javascript"), ("swagger-ui.css", "css")] {
        assert!(page.contains(file), "{file} is not in {page}");
        let answer = ask(&server, &format!("/docs/{file}")).await;
        assert_eq!(answer.status(), StatusCode::OK, "{file}");
        assert!(header(&answer, CONTENT_TYPE).contains(kind), "{file}");
    }
    let settings = ask(&server, "/docs/swagger-initializer.js").await.text().await.unwrap();
    assert!(settings.contains("/openapi.json"), "{settings}");
    for path in ["/docs/nothing.js", "/docs/../Cargo.toml", "/docs/%2e%2e/Cargo.toml"] {
        let answer = ask(&server, path).await;
        assert_eq!(
            (answer.status(), header(&answer, CONTENT_TYPE)),
            (StatusCode::NOT_FOUND, "application/problem+json"),
            "{path}"
        );
    }
}

//! `/` and what its pages load, as a client sees it; `with_engine::browser` has what a browser makes of it.

use std::io::Read;

use flate2::read::GzDecoder;
use reqwest::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
};
use reqwest::{Method, Response, StatusCode};
use secateur::access::Scope;

use crate::harness::TestServer;

/// Without a look at the API's description, to which the pages do not belong.
async fn ask(server: &TestServer, path: &str, headers: &[(&str, &str)]) -> Response {
    let request = server.client().request(Method::GET, path);
    headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).send().await.unwrap()
}

fn header(answer: &Response, name: reqwest::header::HeaderName) -> &str {
    answer.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

/// Where the page says that a file is.
fn address_of(page: &str, file: &str) -> String {
    let end = page.find(file).unwrap_or_else(|| panic!("the page has no {file}")) + file.len();
    let start = page[..end].rfind('"').unwrap() + 1;
    page[start..end].to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_the_same_document_for_everybody() {
    let server = TestServer::start().await;
    // A server with keys asks for none before its pages, which hold nothing.
    server.make_key("ours", Scope::Admin).await;
    let mut pages = Vec::new();
    for path in ["/", "/jobs/job_1", "/models", "/models/mdl_1", "/submit", "/keys", "/sign-in", "/?status=running"] {
        let answer = ask(&server, path, &[]).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        assert_eq!(header(&answer, CONTENT_TYPE), "text/html; charset=utf-8");
        assert_eq!(header(&answer, CACHE_CONTROL), "no-cache");
        let policy = header(&answer, CONTENT_SECURITY_POLICY);
        assert!(policy.starts_with("default-src 'none'; script-src 'self';") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.headers()["x-frame-options"], "DENY");
        pages.push(answer.text().await.unwrap());
    }
    pages.dedup();
    assert_eq!(pages.len(), 1);
    // Scripts and styles are files: the policy refuses any other.
    for inline in ["<style", " style=", "onclick", "<script>", "http://", "https://"] {
        assert!(!pages[0].contains(inline), "{inline}");
    }
    let nowhere = ask(&server, "/jobs", &[]).await;
    assert_eq!(nowhere.status(), StatusCode::NOT_FOUND);
    assert_eq!(header(&nowhere, CONTENT_TYPE), "application/problem+json");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_asked_for_again_and_its_files_are_kept_for_ever() {
    let server = TestServer::start().await;
    let page = ask(&server, "/", &[]).await;
    let etag = header(&page, ETAG).to_owned();
    assert_eq!(ask(&server, "/", &[(IF_NONE_MATCH.as_str(), &etag)]).await.status(), StatusCode::NOT_MODIFIED);
    let page = page.text().await.unwrap();

    let script = address_of(&page, "js/main.js");
    let answer = ask(&server, &script, &[]).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(header(&answer, CONTENT_TYPE), "text/javascript; charset=utf-8");
    assert_eq!(header(&answer, CACHE_CONTROL), "public, max-age=31536000, immutable");
    for file in ["css/base.css", "css/parts.css", "css/pages.css", "logo.svg", "vendor/lit-html/lit-html.js"] {
        assert_eq!(ask(&server, &address_of(&page, file), &[]).await.status(), StatusCode::OK, "{file}");
    }
    // A page of a version before finds what there is now, and does not keep it.
    let old = ask(&server, "/assets/0123456789abcdef/js/main.js", &[]).await;
    assert_eq!((old.status(), header(&old, CACHE_CONTROL)), (StatusCode::OK, "no-cache"));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_compressed_for_those_who_take_that() {
    let server = TestServer::start().await;
    let page = ask(&server, "/", &[]).await.text().await.unwrap();
    let script = address_of(&page, "js/main.js");
    let plain = ask(&server, &script, &[]).await;
    assert_eq!(header(&plain, CONTENT_ENCODING), "");
    let plain_etag = header(&plain, ETAG).to_owned();
    let plain = plain.bytes().await.unwrap();
    let packed = ask(&server, &script, &[(ACCEPT_ENCODING.as_str(), "br, gzip;q=0.5")]).await;
    assert_eq!(header(&packed, CONTENT_ENCODING), "gzip");
    assert_ne!(header(&packed, ETAG), plain_etag);
    let packed = packed.bytes().await.unwrap();
    assert!(packed.len() < plain.len());
    let mut unpacked = Vec::new();
    GzDecoder::new(&packed[..]).read_to_end(&mut unpacked).unwrap();
    assert_eq!(unpacked, plain);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_else_is_served() {
    let server = TestServer::start().await;
    for path in [
        "/assets/1/index.html",
        "/assets/1/tsconfig.json",
        "/assets/1/js/types.d.ts",
        "/assets/1/nothing.js",
        "/assets/1/../Cargo.toml",
        "/assets/1/%2e%2e/Cargo.toml",
        "/assets/1//etc/passwd",
        "/assets/1",
    ] {
        let answer = ask(&server, path, &[]).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
        assert_eq!(header(&answer, CONTENT_TYPE), "application/problem+json", "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_of_another_site_leads_to_a_page_and_to_nothing_behind_it() {
    let server = TestServer::start().await;
    let page = ask(&server, "/", &[]).await.text().await.unwrap();
    let script = address_of(&page, "js/main.js");
    let followed = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
    for path in ["/", "/jobs/job_1", "/submit"] {
        assert_eq!(ask(&server, path, &followed).await.status(), StatusCode::OK, "{path}");
    }
    for path in ["/v1/jobs", script.as_str()] {
        assert_eq!(ask(&server, path, &followed).await.status(), StatusCode::FORBIDDEN, "{path}");
    }
    let framed = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")];
    assert_eq!(ask(&server, "/", &framed).await.status(), StatusCode::FORBIDDEN);
}

//! Hosts and origins, header by header; `browser` shows the same with a browser.

use std::io::{Read, Write};
use std::net::TcpStream;

use reqwest::{Method, StatusCode};

use crate::harness::{Answer, Client, TestServer, send};

async fn ask(client: &Client, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
    let request = client.request(method, path);
    send(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
}

/// The status of a request that is written by hand.
fn status_of(server: &TestServer, head: &str) -> u16 {
    let mut connection = TcpStream::connect(server.address()).unwrap();
    connection.write_all(format!("{head}connection: close\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_answers_to_its_own_names_only() {
    let server = TestServer::start_with(|options| {
        options.access.hosts = vec!["pruner.example".parse().unwrap()];
        options.access.allow_anonymous = true;
    })
    .await;
    let client = server.client();
    for host in [
        "localhost",
        "localhost:9000",
        "127.0.0.1:80",
        "127.3.2.1",
        "[::1]:8080",
        "pruner.example",
        "PRUNER.example:443",
    ] {
        assert_eq!(ask(&client, Method::GET, "/v1/jobs", &[("host", host)]).await.status, StatusCode::OK, "{host}");
    }
    for host in
        ["evil.test", "evil.test:8080", "10.0.0.1", "0.0.0.0", "localhost.evil.test", "sub.pruner.example", "x y"]
    {
        let answer = ask(&client, Method::GET, "/v1/jobs", &[("host", host)]).await;
        let problem = answer.problem(421, "host_not_allowed");
        assert!(problem["detail"].as_str().unwrap().contains(host), "{problem}");
    }
    for path in ["/healthz", "/openapi.json", "/nothing"] {
        ask(&client, Method::GET, path, &[("host", "evil.test")]).await.problem(421, "host_not_allowed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_names_one_host_and_names_it_everywhere_the_same() {
    let server = TestServer::start().await;
    assert_eq!(status_of(&server, "GET /healthz HTTP/1.1\r\nhost: localhost\r\n"), 200);
    assert_eq!(status_of(&server, "GET http://localhost/healthz HTTP/1.1\r\nhost: localhost\r\n"), 200);
    for head in [
        "GET http://evil.test/healthz HTTP/1.1\r\nhost: localhost\r\n",
        "GET http://localhost/healthz HTTP/1.1\r\nhost: evil.test\r\n",
        "GET /healthz HTTP/1.1\r\nhost: localhost\r\nhost: evil.test\r\n",
        "GET /healthz HTTP/1.0\r\n",
    ] {
        assert_eq!(status_of(&server, head), 421, "{head}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_other_origins_are_refused_whatever_they_ask() {
    let server = TestServer::start().await;
    let client = server.client();
    let job = client.submit().await;
    let cancel = format!("/v1/jobs/{job}/cancel");
    let own = format!("http://{}", server.address());
    let other_port = "http://127.0.0.1:1".to_owned();
    let foreign: [&[(&str, &str)]; 8] = [
        &[("origin", "https://evil.test")],
        &[("origin", "null")],
        &[("origin", &other_port)],
        &[("origin", "http://localhost")],
        &[("origin", &own), ("origin", "https://evil.test")],
        &[("origin", &own), ("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
    ];
    for headers in foreign {
        for (method, path) in [
            (Method::GET, "/v1/jobs"),
            (Method::GET, "/healthz"),
            (Method::POST, cancel.as_str()),
            (Method::POST, "/v1/models"),
            (Method::POST, "/v1/session"),
            (Method::DELETE, "/v1/jobs"),
            (Method::OPTIONS, "/v1/jobs"),
        ] {
            let answer = ask(&client, method.clone(), path, headers).await;
            answer.problem(403, "cross_origin_refused");
            let cors = answer.headers.keys().find(|name| name.as_str().starts_with("access-control"));
            assert_eq!(cors, None, "{method} {path}");
        }
    }
    let own: [&[(&str, &str)]; 4] = [
        &[],
        &[("origin", &own)],
        &[("origin", &own), ("sec-fetch-site", "same-origin")],
        &[("sec-fetch-site", "none"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")],
    ];
    for headers in own {
        assert_eq!(ask(&client, Method::GET, "/v1/jobs", headers).await.status, StatusCode::OK, "{headers:?}");
    }
    assert_eq!(client.get(&format!("/v1/jobs/{job}")).await.expect(StatusCode::OK)["status"], "queued");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_may_lead_to_a_public_page_and_to_nothing_else() {
    let server = TestServer::start().await;
    let client = server.client();
    let link = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
    assert_eq!(ask(&client, Method::GET, "/openapi.json", &link).await.status, StatusCode::OK);
    ask(&client, Method::GET, "/v1/jobs", &link).await.problem(403, "cross_origin_refused");
    ask(&client, Method::POST, "/openapi.json", &link).await.problem(403, "cross_origin_refused");
    let frame = [link[0], link[1], ("sec-fetch-dest", "iframe")];
    ask(&client, Method::GET, "/openapi.json", &frame).await.problem(403, "cross_origin_refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_tells_browsers_to_make_nothing_of_it() {
    let server = TestServer::start().await;
    let client = server.client();
    let job = client.submit().await;
    let log = format!("/v1/jobs/{job}/artifacts/log.txt");
    for (path, headers) in [
        ("/v1/jobs", &[] as &[(&str, &str)]),
        ("/healthz", &[]),
        ("/nothing", &[]),
        (log.as_str(), &[]),
        ("/v1/jobs", &[("host", "evil.test")]),
        ("/v1/jobs", &[("authorization", "Bearer x")]),
    ] {
        let answer = ask(&client, Method::GET, path, headers).await;
        assert_eq!(answer.header("content-security-policy"), "default-src 'none'; frame-ancestors 'none'", "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("x-frame-options"), "DENY", "{path}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
        assert_eq!(answer.header("cross-origin-resource-policy"), "same-origin", "{path}");
    }
    let answer = client.get(&log).await;
    assert_eq!(answer.header("content-disposition"), "attachment; filename=\"log.txt\"");
    assert_eq!(answer.header("cache-control"), "private, no-cache");
}

//! Connections: how long they may wait, how slow they may be, and how many there are.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use secateur::http::connection::Pace;

use crate::harness::{TestServer, count_files, eventually};

const HEAD: &str = "host: localhost\r\n";

/// A connection on which nothing is waited for longer than anything may take.
fn connect(address: SocketAddr) -> TcpStream {
    let connection = TcpStream::connect(address).unwrap();
    connection.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    connection
}

/// All that comes until the server closes.
fn read_to_end(mut connection: TcpStream) -> String {
    let mut text = Vec::new();
    match connection.read_to_end(&mut text) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}"),
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn in_the_background<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> tokio::task::JoinHandle<T> {
    tokio::task::spawn_blocking(work)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_does_not_end_is_cut_off_however_it_trickles() {
    let server = TestServer::start_with(|options| options.connections.head = Duration::from_millis(500)).await;
    let address = server.address();
    let (silent, trickling) = (connect(address), connect(address));
    let silent = in_the_background(move || read_to_end(silent));
    let trickling = in_the_background(move || {
        let started = Instant::now();
        let mut writer = trickling.try_clone().unwrap();
        let reader = std::thread::spawn(move || read_to_end(trickling));
        while !reader.is_finished() && started.elapsed() < Duration::from_secs(20) {
            let _ = writer.write_all(b"x");
            std::thread::sleep(Duration::from_millis(50));
        }
        (reader.join().unwrap(), started.elapsed())
    });
    assert_eq!(silent.await.unwrap(), "");
    let (answer, took) = trickling.await.unwrap();
    assert_eq!(answer, "");
    assert!(took < Duration::from_secs(20), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_is_closed_and_a_long_poll_is_not() {
    let server = TestServer::start_with(|options| {
        options.connections.head = Duration::from_millis(300);
        options.connections.idle = Duration::from_millis(300);
    })
    .await;
    let id = server.client().submit().await;
    let (client, path) = (server.client(), format!("/v1/jobs/{id}?wait=2"));
    let mut idle = connect(server.address());
    idle.write_all(format!("GET /healthz HTTP/1.1\r\n{HEAD}\r\n").as_bytes()).unwrap();
    let idle = in_the_background(move || read_to_end(idle));
    let (poll, idle) = tokio::join!(client.get(&path), idle);
    assert!(idle.unwrap().starts_with("HTTP/1.1 200"));
    assert_eq!(poll.expect(StatusCode::OK)["status"], "queued");
}

/// Uploads pieces of a body, one after each pause, until the server answers.
fn upload_slowly(address: SocketAddr, piece: usize, pause: Duration, pieces: usize) -> String {
    let mut writer = connect(address);
    let length = piece * pieces;
    let kind = "content-type: application/octet-stream";
    writer
        .write_all(
            format!(
                "POST /v1/models HTTP/1.1\r\n{HEAD}{kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
            )
            .as_bytes(),
        )
        .unwrap();
    let answer = writer.try_clone().unwrap();
    let answer = std::thread::spawn(move || read_to_end(answer));
    for _ in 0..pieces {
        if answer.is_finished() {
            break;
        }
        let _ = writer.write_all(&vec![0; piece]);
        std::thread::sleep(pause);
    }
    answer.join().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_trickles_is_refused_and_one_that_is_slow_but_steady_arrives() {
    let server = TestServer::start_with(|options| {
        options.connections.body = Pace { bytes: 1000, within: Duration::from_secs(1) };
    })
    .await;
    let address = server.address();
    let pause = Duration::from_millis(50);
    let trickling = in_the_background(move || upload_slowly(address, 1, pause, 1000));
    let steady = in_the_background(move || upload_slowly(address, 2000, pause, 50));
    let answer = trickling.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("upload_stalled") && answer.contains("1000 bytes in 1 seconds"), "{answer}");
    let answer = steady.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 422") && answer.contains("not_torchscript"), "{answer}");
    assert_eq!(count_files(&server.data_folder().join("staging")), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trickling_part_of_a_form_is_refused_like_any_body() {
    let server = TestServer::start_with(|options| {
        options.connections.body = Pace { bytes: 1000, within: Duration::from_millis(500) };
    })
    .await;
    let mut connection = connect(server.address());
    let part = "--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"x\"\r\n\r\nabc";
    let kind = "content-type: multipart/form-data; boundary=b";
    connection
        .write_all(format!("POST /v1/models HTTP/1.1\r\n{HEAD}{kind}\r\ncontent-length: 5000\r\n\r\n{part}").as_bytes())
        .unwrap();
    let answer = in_the_background(move || read_to_end(connection)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("upload_stalled"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_every_connection_is_busy_the_next_is_told_so() {
    let server = TestServer::start_with(|options| options.connections.total = 8).await;
    let id = server.client().submit().await;
    let path = format!("/v1/jobs/{id}/events");
    let streams: Vec<TcpStream> = (0..8)
        .map(|_| {
            let mut stream = connect(server.address());
            let accept = "accept: text/event-stream";
            stream.write_all(format!("GET {path} HTTP/1.1\r\n{HEAD}{accept}\r\n\r\n").as_bytes()).unwrap();
            let mut status = [0; 12];
            stream.read_exact(&mut status).unwrap();
            assert_eq!(&status, b"HTTP/1.1 200");
            stream
        })
        .collect();
    let mut refused = connect(server.address());
    refused.write_all(format!("GET /healthz HTTP/1.1\r\n{HEAD}\r\n").as_bytes()).unwrap();
    let answer = in_the_background(move || read_to_end(refused)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after: 5"), "{answer}");
    assert!(answer.contains("too_many_connections") && answer.contains("application/problem+json"), "{answer}");

    drop(streams);
    let client = server.client();
    let address = server.address();
    eventually("a place is free again", || async {
        let mut connection = connect(address);
        connection.write_all(format!("GET /healthz HTTP/1.1\r\n{HEAD}connection: close\r\n\r\n").as_bytes()).ok()?;
        in_the_background(move || read_to_end(connection)).await.unwrap().starts_with("HTTP/1.1 200").then_some(())
    })
    .await;
    assert_eq!(client.get("/healthz").await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_too_long_is_answered_with_431() {
    let server = TestServer::start().await;
    let long = format!("x-long: {}\r\n", "x".repeat(40_000));
    let many: String = (0..120).map(|i| format!("x-{i}: 1\r\n")).collect();
    for headers in [long, many] {
        let mut connection = connect(server.address());
        let _ = connection.write_all(format!("GET /healthz HTTP/1.1\r\n{HEAD}{headers}\r\n").as_bytes());
        let answer = in_the_background(move || read_to_end(connection)).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_nothing_of_its_answers_is_cut_off() {
    const REQUESTS: usize = 400;
    let server = TestServer::start_with(|options| options.connections.stall = Duration::from_millis(500)).await;
    let connection = connect(server.address());
    let mut writer = connection.try_clone().unwrap();
    let request = format!("GET /openapi.json HTTP/1.1\r\n{HEAD}\r\n");
    // The server stops reading too. Writing fails once the connection is cut off, however long that takes.
    let cut_off = in_the_background(move || {
        let whole = (0..REQUESTS).all(|_| writer.write_all(request.as_bytes()).is_ok());
        let started = Instant::now();
        while whole && writer.write_all(b"G").is_ok() {
            assert!(started.elapsed() < Duration::from_mins(2), "the connection is cut off");
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    cut_off.await.unwrap();
    let answers = in_the_background(move || read_to_end(connection)).await.unwrap();
    let whole = answers.matches("HTTP/1.1 200 OK").count();
    assert!((1..REQUESTS).contains(&whole), "{whole} answers came");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_open_connection_does_not_hold_up_the_end() {
    let mut server = TestServer::start().await;
    let mut half_open = connect(server.address());
    half_open.write_all(b"GET /healthz HTTP/1.1\r\nhost").unwrap();
    server.client().get("/healthz").await.expect(StatusCode::OK);
    let started = Instant::now();
    server.stop().await;
    // Its head would have had ten seconds.
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
}

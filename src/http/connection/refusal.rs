//! The answer to a connection for which there is no place. It is written as it is, before any request was read.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::place::Full;
use crate::http::answer::problem::{Code, Problem};

const TRY_AGAIN_AFTER: u32 = 5;
/// How long, and how much of a request, a refused client may still send so that it gets to read the answer.
const TIME_TO_READ: Duration = Duration::from_secs(2);
const LONGEST_REST: u64 = 64 << 10;

/// Says that there is no place, and closes.
pub(super) async fn refuse(mut stream: TcpStream, full: Full) {
    let answer = on_the_wire(problem(full).into_response()).await;
    let told = async {
        stream.write_all(&answer).await?;
        stream.shutdown().await?;
        // Were the socket closed with something unread, the client would see a reset instead of the answer.
        tokio::io::copy(&mut (&mut stream).take(LONGEST_REST), &mut tokio::io::sink()).await
    };
    let _ = tokio::time::timeout(TIME_TO_READ, told).await;
}

fn problem(full: Full) -> Problem {
    let detail = match full {
        Full::Everywhere => "Every connection that the server takes is busy.",
        Full::OfAddress => "Every connection that the server takes from one address is busy.",
    };
    Problem::new(Code::TooManyConnections, detail)
        .hint("Use one connection for many requests, and try again soon.")
        .header(header::RETRY_AFTER, HeaderValue::from(TRY_AGAIN_AFTER))
}

async fn on_the_wire(response: Response) -> Vec<u8> {
    let (mut parts, body) = response.into_parts();
    let body = read(body).await;
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    parts.headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    let mut wire = format!("HTTP/1.1 {}\r\n", parts.status).into_bytes();
    for (name, value) in &parts.headers {
        wire.extend_from_slice(name.as_str().as_bytes());
        wire.extend_from_slice(b": ");
        wire.extend_from_slice(value.as_bytes());
        wire.extend_from_slice(b"\r\n");
    }
    wire.extend_from_slice(b"\r\n");
    wire.extend_from_slice(&body);
    wire
}

async fn read(body: Body) -> Vec<u8> {
    let mut pieces = body.into_data_stream();
    let mut whole = Vec::new();
    while let Some(Ok(piece)) = pieces.next().await {
        whole.extend_from_slice(&piece);
    }
    whole
}

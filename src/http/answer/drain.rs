//! What is left of a body that was refused.
//!
//! Most clients send the whole body before they look for the answer. Were the connection closed on them, they would
//! report a broken pipe and never see why they were refused. So a refusal waits for a reasonable rest.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, HttpBody};
use axum::extract::Request;
use axum::http::header;
use axum::middleware::Next;
use axum::response::Response;
use futures::{StreamExt, stream};
use tokio::sync::Mutex;

const LONGEST_REST: usize = 32 << 20;
const LONGEST_TIME: Duration = Duration::from_secs(10);

/// Reads the rest of a request's body when the answer is a refusal.
pub(crate) async fn drain_refused(request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    // A client that asks before it sends must not be told to go on.
    let asks_first = parts.headers.contains_key(header::EXPECT);
    let shared = Arc::new(Shared { body: Mutex::new(body.into_data_stream()), was_read: AtomicBool::new(false) });
    let pieces = stream::unfold(shared.clone(), |shared| async move {
        shared.was_read.store(true, Ordering::Relaxed);
        let piece = shared.body.lock().await.next().await;
        piece.map(|piece| (piece, shared))
    });
    let response = next.run(Request::from_parts(parts, Body::from_stream(pieces))).await;
    let refused = response.status().is_client_error() || response.status().is_server_error();
    if refused && (shared.was_read.load(Ordering::Relaxed) || !asks_first) {
        let _ = tokio::time::timeout(LONGEST_TIME, shared.read_rest()).await;
    }
    response
}

struct Shared {
    body: Mutex<BodyDataStream>,
    was_read: AtomicBool,
}

impl Shared {
    async fn read_rest(&self) {
        let mut body = self.body.lock().await;
        let mut read = 0;
        while let Some(Ok(piece)) = body.next().await {
            read += piece.len();
            if read > LONGEST_REST {
                return;
            }
        }
    }
}

//! Accepting connections and holding them.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::ConnectInfo;
use axum::response::Response;
use bytes::Bytes;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::activity::Busy;
use super::body::PacedBody;
use super::limits::ConnectionLimits;
use super::place::{Place, Places};
use super::refusal::refuse;
use super::stream::WatchedStream;

/// Bytes and lines of a request's head; more is answered with 431.
const LONGEST_HEAD: usize = 32 << 10;
const MOST_HEADERS: usize = 100;
/// What a connection buffers of a body.
const BUFFER: usize = 128 << 10;
/// A request that is on its way when the server stops gets this long to arrive.
const TIME_TO_ARRIVE: Duration = Duration::from_secs(1);
/// Refusals that are being told at once; whoever comes after is dropped without a word.
const MOST_REFUSALS: usize = 16;
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(100);

/// Serves until `shutdown`, and then until the last answer under way is finished.
pub async fn serve(listener: TcpListener, router: Router, limits: ConnectionLimits, shutdown: CancellationToken) {
    let places = Places::new(limits);
    let connections = TaskTracker::new();
    let refusals = Arc::new(Semaphore::new(MOST_REFUSALS));
    while let Some(accepted) = shutdown.run_until_cancelled(listener.accept()).await {
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                recover(&error, &places).await;
                continue;
            }
        };
        match places.take(address.ip()) {
            Ok(place) => {
                connections.spawn(hold(stream, address, place, places.clone(), router.clone(), shutdown.clone()));
            }
            Err(full) => {
                tracing::warn!(%address, ?full, "connection refused");
                if let Ok(permit) = refusals.clone().try_acquire_owned() {
                    connections.spawn(async move {
                        refuse(stream, full).await;
                        drop(permit);
                    });
                }
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// A connection that went before it was accepted is nothing; a process without descriptors gives a waiting connection up.
async fn recover(error: &io::Error, places: &Places) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        return;
    }
    let made_room = places.give_up_one();
    tracing::error!(%error, made_room, "no connection can be accepted");
    tokio::time::sleep(PAUSE_AFTER_ERROR).await;
}

/// Holds a connection until it ends, waits too long, or has to make room.
async fn hold(
    stream: TcpStream,
    address: SocketAddr,
    place: Place,
    places: Places,
    router: Router,
    shutdown: CancellationToken,
) {
    // Answers are written whole, so waiting for more to send with them only delays.
    let _ = stream.set_nodelay(true);
    let activity = &place.activity;
    let stream = WatchedStream::new(stream, activity.clone(), places.limits().stall);
    let pace = places.limits().body;
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let busy = activity.begin();
        let mut request = request.map(|incoming| Body::new(PacedBody::new(incoming, pace)));
        request.extensions_mut().insert(ConnectInfo(address));
        let answer = router.clone().oneshot(request);
        async move {
            let response: Response = answer.await.unwrap_or_else(|never: Infallible| match never {});
            Ok::<_, Infallible>(response.map(|body| AnswerBody { body, _busy: busy }))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // The place's deadlines, which tell a head from a pause between requests, stand in for it.
        .header_read_timeout(None)
        .max_headers(MOST_HEADERS)
        .max_header_size(LONGEST_HEAD)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = activity.over() => return,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            activity.hurry(TIME_TO_ARRIVE);
            tokio::select! {
                ended = connection => ended,
                () = activity.over() => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%address, %error, "connection broke");
    }
}

/// The body of an answer; until it is written, the connection is busy.
#[derive(Debug)]
struct AnswerBody {
    body: Body,
    _busy: Busy,
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

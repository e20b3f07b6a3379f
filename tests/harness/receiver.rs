//! A receiver of webhooks: a real HTTP server on loopback that keeps what it gets and answers as a test says.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde_json::Value;
use standardwebhooks::Webhook;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::PATIENCE;

/// How a request is answered.
pub(crate) enum Reply {
    Status(u16),
    With(u16, HeaderName, String),
    /// 200 and a body that does not end.
    Endless,
    /// Never.
    Hang,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

/// A receiver; dropping it ends it.
pub(crate) struct Receiver {
    address: SocketAddr,
    incoming: mpsc::UnboundedReceiver<Received>,
    replies: Arc<Mutex<VecDeque<Reply>>>,
    _server: AbortOnDropHandle<()>,
}

#[derive(Clone)]
struct Desk {
    incoming: mpsc::UnboundedSender<Received>,
    replies: Arc<Mutex<VecDeque<Reply>>>,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, incoming) = mpsc::unbounded_channel();
        let replies = Arc::<Mutex<VecDeque<Reply>>>::default();
        let desk = Desk { incoming: sender, replies: replies.clone() };
        let router = Router::new().fallback(receive).with_state(desk);
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, incoming, replies, _server: AbortOnDropHandle::new(server) }
    }

    /// Where it listens, under a name or an address of loopback.
    pub(crate) fn url_at(&self, host: &str) -> String {
        format!("http://{host}:{}/hook", self.address.port())
    }

    pub(crate) fn url(&self) -> String {
        self.url_at("127.0.0.1")
    }

    /// Answers the next request that has no answer yet in this way; without one it is 204.
    pub(crate) fn reply(&self, reply: Reply) {
        self.replies.lock().unwrap().push_back(reply);
    }

    /// The next request, which must come.
    pub(crate) async fn next(&mut self) -> Received {
        let received = tokio::time::timeout(PATIENCE, self.incoming.recv()).await;
        received.expect("a webhook comes").expect("the receiver runs")
    }

    /// Everything that came and was not looked at.
    pub(crate) fn rest(&mut self) -> Vec<Received> {
        std::iter::from_fn(|| self.incoming.try_recv().ok()).collect()
    }
}

async fn receive(State(desk): State<Desk>, headers: HeaderMap, body: Bytes) -> Response {
    let reply = desk.replies.lock().unwrap().pop_front();
    desk.incoming.send(Received { headers, body: body.to_vec() }).unwrap();
    let status = |status| StatusCode::from_u16(status).unwrap();
    match reply.unwrap_or(Reply::Status(204)) {
        Reply::Status(code) => status(code).into_response(),
        Reply::With(code, name, value) => (status(code), [(name, value)]).into_response(),
        Reply::Endless => {
            let chunk = || Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 1024]));
            Body::from_stream(futures::stream::repeat_with(chunk)).into_response()
        }
        Reply::Hang => std::future::pending().await,
    }
}

impl Received {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn id(&self) -> &str {
        self.header("webhook-id")
    }

    /// Whether the specification's own library takes it for signed with this secret.
    pub(crate) fn is_signed_with(&self, secret: &str) -> bool {
        Webhook::new(secret).unwrap().verify(&self.body, &self.headers).is_ok()
    }

    /// Signatures that it carries.
    pub(crate) fn signatures(&self) -> usize {
        self.header("webhook-signature").split(' ').count()
    }
}

//! The HTTP API, version 1. A handler is extract → authorise → one domain call → response.
//!
//! Before a handler stands the guard ([`guard`]): it lets in what is meant for this server and comes from no foreign page,
//! and says who the caller is.
//!
//! Every answer carries `x-request-id`, the client's own or a new one, and so does every line of the log below it.
//! Every error, also of the framework and of a panic, is a [`problem::Problem`].

mod allowance;
mod artifacts;
mod candidates;
pub mod connection;
mod datasets;
mod drain;
mod events;
mod guard;
mod health;
mod job_view;
mod jobs;
mod keys;
mod models;
mod multipart;
mod openapi;
mod problem;
mod quote;
mod range;
mod request;
mod session;
mod submit;
mod wait;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use secateur_core::sandbox::Sandbox;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::request_id::{MakeRequestId, PropagateRequestIdLayer, RequestId, SetRequestIdLayer};
use tower_http::trace::{DefaultOnRequest, DefaultOnResponse, TraceLayer};
use tracing::Level;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::access::Access;
use crate::blob::{BlobStore, Staging};
use crate::database::Notifications;
use crate::queue::Queue;
use crate::quota::Quotas;
use crate::upkeep::Upkeep;
use crate::upload::Uploads;
use problem::{Code, Problem};
use quote::{LONGEST_VALUE, cut, printable};

pub use guard::{Entrance, Gate};
pub use openapi::document as openapi_document;
pub use session::CookieKind;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const LONGEST_REQUEST_ID: usize = 128;
/// A method may be any word.
const LONGEST_METHOD: usize = 20;

/// What every handler shares.
#[derive(Debug, Clone)]
pub struct App {
    pub queue: Queue,
    pub blobs: BlobStore,
    pub staging: Staging,
    pub uploads: Uploads,
    pub upkeep: Upkeep,
    pub quotas: Quotas,
    pub notifications: Notifications,
    pub access: Access,
    pub entrance: Entrance,
    pub cookie: CookieKind,
    /// What confines the engines of this server; `None` without any.
    pub sandbox: Option<Sandbox>,
    /// Cancelled when the server drains: long answers end then.
    pub draining: tokio_util::sync::CancellationToken,
}

impl App {
    /// Frees what a deletion has left. Its rows are gone, so nobody sees it any more, and what cannot be freed now is later.
    async fn free_blobs(&self) -> StatusCode {
        if let Err(error) = self.upkeep.free_blobs().await {
            tracing::warn!(%error, "blobs of something that was deleted could not be freed");
        }
        StatusCode::NO_CONTENT
    }
}

/// The routes that are the same for everyone, with their descriptions.
fn public_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(health::alive))
        .routes(routes!(health::ready))
        .routes(routes!(openapi::serve))
        .routes(routes!(session::open))
}

/// The routes that need a caller, with their descriptions.
fn guarded_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(submit::submit, jobs::list))
        .routes(routes!(jobs::show, jobs::delete))
        .routes(routes!(jobs::cancel))
        .routes(routes!(events::list))
        .routes(routes!(candidates::list))
        .routes(routes!(artifacts::list))
        .routes(routes!(artifacts::download))
        .routes(routes!(models::upload, models::list))
        .routes(routes!(models::show, models::delete))
        .routes(routes!(models::inspect))
        .routes(routes!(datasets::upload, datasets::list))
        .routes(routes!(datasets::show, datasets::delete))
        .routes(routes!(keys::create, keys::list))
        .routes(routes!(keys::revoke))
        .routes(routes!(session::show, session::close))
}

/// The whole service.
pub fn router(app: App) -> Router {
    let (public, _) = public_routes().split_for_parts();
    let (guarded, _) = guarded_routes().split_for_parts();
    let guarded = guarded
        .route_layer(axum::middleware::from_fn_with_state(app.clone(), allowance::count_request))
        .route_layer(axum::middleware::from_fn_with_state(app.clone(), guard::authenticate));
    let router = public.merge(guarded);
    let layers = ServiceBuilder::new()
        .layer(axum::middleware::map_response(guard::protect))
        .layer(axum::middleware::map_request(drop_unusable_request_id))
        .layer(SetRequestIdLayer::new(REQUEST_ID, NewRequestId))
        .layer(
            TraceLayer::new_for_http()
                .make_span_with(|request: &Request| {
                    let id = request.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or_default();
                    let method = cut(request.method().as_str(), LONGEST_METHOD);
                    let path = printable(request.uri().path(), LONGEST_VALUE);
                    tracing::info_span!("request", id, method, path)
                })
                .on_request(DefaultOnRequest::new().level(Level::DEBUG))
                .on_response(DefaultOnResponse::new().level(Level::INFO)),
        )
        .layer(PropagateRequestIdLayer::new(REQUEST_ID))
        .layer(CatchPanicLayer::custom(answer_panic));
    router
        .fallback(no_such_route)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(axum::middleware::from_fn_with_state(app.clone(), guard::admit))
        .layer(axum::middleware::from_fn(drain::drain_refused))
        // Bodies are limited where they are read.
        .layer(DefaultBodyLimit::disable())
        .layer(layers)
        .with_state(app)
}

#[derive(Clone, Copy)]
struct NewRequestId;

impl MakeRequestId for NewRequestId {
    fn make_request_id<B>(&mut self, _: &axum::http::Request<B>) -> Option<RequestId> {
        let id = format!("req_{}", Uuid::now_v7().simple());
        Some(RequestId::new(HeaderValue::from_str(&id).expect("hexadecimal digits are a header value")))
    }
}

/// A request id goes into the log and the answer, so an overlong or unprintable one is replaced.
async fn drop_unusable_request_id(mut request: Request) -> Request {
    let usable = |id: &HeaderValue| id.len() <= LONGEST_REQUEST_ID && id.to_str().is_ok_and(|id| !id.is_empty());
    if request.headers().get(REQUEST_ID).is_some_and(|id| !usable(id)) {
        request.headers_mut().remove(REQUEST_ID);
    }
    request
}

async fn no_such_route(uri: Uri) -> Problem {
    Problem::new(Code::RouteNotFound, format!("There is no route `{}`.", cut(uri.path(), LONGEST_VALUE)))
        .hint("GET /openapi.json lists every route.")
}

async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    Problem::new(
        Code::MethodNotAllowed,
        format!("`{}` does not take {}.", cut(uri.path(), LONGEST_VALUE), cut(method.as_str(), LONGEST_METHOD)),
    )
}

fn answer_panic(panic: Box<dyn std::any::Any + Send>) -> Response {
    let message = panic.downcast_ref::<String>().cloned();
    let message = message.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    Problem::internal(format!("panic: {}", message.unwrap_or_default())).into_response()
}

//! The routes, grouped by who may call them, and what stands before all of them.

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderName, HeaderValue, Method, Uri};
use axum::response::{IntoResponse, Response};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::request_id::{MakeRequestId, PropagateRequestIdLayer, RequestId, SetRequestIdLayer};
use tower_http::trace::{DefaultOnRequest, DefaultOnResponse, TraceLayer};
use tracing::Level;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::answer::drain;
use super::answer::problem::{Code, Problem};
use super::answer::quote::{LONGEST_VALUE, cut, printable};
use super::request::allowance;
use super::{
    App, artifacts, dashboard, datasets, deliveries, guard, jobs, judgements, keys, measure, models, quotas, reference,
    service, session, uploads, webhook_secrets,
};
use crate::trace;

/// W3C Trace Context.
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const LONGEST_REQUEST_ID: usize = 128;
/// A method may be any word.
const LONGEST_METHOD: usize = 20;

/// The routes that are the same for everyone, with their descriptions.
pub(super) fn public_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(service::health::alive))
        .routes(routes!(service::health::ready))
        .routes(routes!(service::openapi::serve))
        .routes(routes!(session::open::open))
}

/// The routes that need a caller, with their descriptions.
pub(super) fn guarded_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(jobs::submit::submit, jobs::list::list))
        .routes(routes!(jobs::show::show, jobs::delete::delete))
        .routes(routes!(jobs::cancel::cancel))
        .routes(routes!(jobs::pause::pause))
        .routes(routes!(jobs::resume::resume))
        .routes(routes!(jobs::events::list))
        .routes(routes!(jobs::candidates::list))
        .routes(routes!(judgements::list::list, judgements::post::post))
        .routes(routes!(artifacts::list::list))
        .routes(routes!(artifacts::download::download))
        .routes(routes!(deliveries::list::list))
        .routes(routes!(deliveries::redeliver::redeliver))
        .routes(routes!(models::upload::upload, models::list::list))
        .routes(routes!(models::show::show, models::delete::delete))
        .routes(routes!(models::inspect::inspect))
        .routes(routes!(uploads::create::create, uploads::options::describe))
        .routes(routes!(uploads::presigned::presign))
        .routes(routes!(uploads::show::show, uploads::offset::offset, uploads::append::append, uploads::delete::delete))
        .routes(routes!(datasets::upload::upload, datasets::list::list))
        .routes(routes!(datasets::show::show, datasets::delete::delete))
        .routes(routes!(keys::create::create, keys::list::list))
        .routes(routes!(keys::revoke::revoke))
        .routes(routes!(webhook_secrets::create::create, webhook_secrets::list::list))
        .routes(routes!(webhook_secrets::delete::delete))
        .routes(routes!(quotas::show::show))
        .routes(routes!(session::show::show, session::close::close))
}

/// The route of the metrics, which the operator may make public.
pub(super) fn metrics_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(service::metrics::show))
}

/// The whole service.
pub fn router(app: App) -> Router {
    let (public, guarded) = match app.metrics_are_public {
        true => (public_routes().merge(metrics_routes()), guarded_routes()),
        false => (public_routes(), guarded_routes().merge(metrics_routes())),
    };
    let (public, _) = public.split_for_parts();
    let (guarded, _) = guarded.split_for_parts();
    let guarded = guarded
        .route_layer(axum::middleware::from_fn_with_state(app.clone(), allowance::count_request))
        .route_layer(axum::middleware::from_fn_with_state(app.clone(), guard::authenticate));
    let router = public.merge(guarded).merge(dashboard::routes()).merge(reference::routes());
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
                    let span = tracing::info_span!("request", id, method, path);
                    let parent = request.headers().get(TRACE_PARENT).and_then(|parent| parent.to_str().ok());
                    trace::follow(&span, parent);
                    span
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
        .layer(axum::middleware::from_fn_with_state(app.clone(), measure::measure))
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
        .hint("See GET /openapi.json for every route, and `/docs/` to read it.")
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

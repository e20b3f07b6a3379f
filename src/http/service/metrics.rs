//! `GET /metrics`

use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Extension, Json, Router};

use super::health::Health;
use crate::access::{Caller, Scope};
use crate::http::App;
use crate::http::answer::problem::{Problem, ProblemDocument};
use crate::metrics::{self, Exposition};

/// Figures of the whole service in Prometheus' text format, of no tenant by itself. Asks for a key with the scope `admin`, unless the server was
/// started with `--public-metrics`; on a server without keys everyone may see them.
#[utoipa::path(get, path = "/metrics", operation_id = "metrics", tag = "service", responses(
    (status = 200, body = String, content_type = "text/plain"),
    (status = "4XX", body = ProblemDocument, content_type = "application/problem+json"),
))]
pub(crate) async fn show(
    State(app): State<App>,
    caller: Option<Extension<Caller>>,
) -> Result<impl IntoResponse, Problem> {
    // Without a caller the route is a public one, see [`crate::http::router`].
    if let Some(Extension(caller)) = caller
        && caller.key_id.is_some()
    {
        caller.require(Scope::Admin)?;
    }
    Ok(text(&app.metrics).await)
}

async fn text(exposition: &Exposition) -> ([(HeaderName, &'static str); 1], String) {
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], exposition.text().await)
}

/// The routes of a worker that shows its metrics, for everyone who reaches them.
pub fn worker_router(exposition: Exposition) -> Router {
    let show = |State(exposition): State<Exposition>| async move { text(&exposition).await };
    let alive = || async { Json(Health { status: "ok" }) };
    Router::new().route("/metrics", get(show)).route("/healthz", get(alive)).with_state(exposition)
}

//! Whether the process lives, and whether it can work.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::Serialize;
use utoipa::ToSchema;

use super::App;
use super::guard;
use super::problem::{Problem, ProblemDocument};

#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    status: &'static str,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Readiness {
    status: &'static str,
    #[serde(flatten)]
    details: Option<Details>,
}

/// What is for callers, not for strangers.
#[derive(Debug, Serialize, ToSchema)]
pub struct Details {
    version: &'static str,
}

/// The process lives.
#[utoipa::path(get, path = "/healthz", tag = "service", security(()), responses((status = 200, body = Health)))]
pub async fn alive() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// The database answers and has every migration, and blobs can be written. Callers with a key are told more.
#[utoipa::path(get, path = "/readyz", tag = "service", security(()), responses(
    (status = 200, body = Readiness),
    (status = 503, body = ProblemDocument, content_type = "application/problem+json"),
))]
pub async fn ready(State(app): State<App>, headers: HeaderMap) -> Result<Json<Readiness>, Problem> {
    app.queue.database().check().await?;
    app.blobs.check_writable().await?;
    let details = match guard::is_let_in(&app, &headers).await {
        true => Some(Details { version: env!("CARGO_PKG_VERSION") }),
        false => None,
    };
    Ok(Json(Readiness { status: "ready", details }))
}

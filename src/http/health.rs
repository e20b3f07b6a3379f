//! Whether the process lives, and whether it can work.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::App;
use super::problem::{Problem, ProblemDocument};

#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    status: &'static str,
}

/// The process lives.
#[utoipa::path(get, path = "/healthz", tag = "service", responses((status = 200, body = Health)))]
pub async fn alive() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// The database answers and has every migration, and blobs can be written.
#[utoipa::path(get, path = "/readyz", tag = "service", responses(
    (status = 200, body = Health),
    (status = 503, body = ProblemDocument, content_type = "application/problem+json"),
))]
pub async fn ready(State(app): State<App>) -> Result<Json<Health>, Problem> {
    app.queue.database().check().await?;
    app.blobs.check_writable().await?;
    Ok(Json(Health { status: "ready" }))
}

//! Whether the process lives, and whether it can work.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use secateur_core::sandbox::Sandbox;
use serde::Serialize;
use utoipa::ToSchema;

use crate::blob::DiskSpace;
use crate::http::answer::problem::{Code, Problem, ProblemDocument};
use crate::http::{App, guard};

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    status: &'static str,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Readiness {
    status: &'static str,
    #[serde(flatten)]
    details: Option<Details>,
}

/// What is for callers, not for strangers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Details {
    version: &'static str,
    /// Of the data folder.
    disk: DiskSpace,
    /// What confines the engines of this server, as it was found at the start; not there when it runs none.
    #[serde(skip_serializing_if = "Option::is_none")]
    sandbox: Option<Sandbox>,
}

/// The process lives.
#[utoipa::path(get, path = "/healthz", operation_id = "healthz", tag = "service", security(()), responses((status = 200, body = Health)))]
pub(crate) async fn alive() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// The database answers and has every migration, blobs can be written, and the disk has its reserve free. Callers with a key are told more.
#[utoipa::path(get, path = "/readyz", operation_id = "readyz", tag = "service", security(()), responses(
    (status = 200, body = Readiness),
    (status = 503, body = ProblemDocument, content_type = "application/problem+json",
     description = "Code `database_unavailable`, `blob_store_unavailable`, or `disk_full` with a member `disk` as in the answer 200"),
))]
pub(crate) async fn ready(State(app): State<App>, headers: HeaderMap) -> Result<Json<Readiness>, Problem> {
    app.database.check().await?;
    let disk = app.staging.disk().space().map_err(Problem::internal)?;
    if disk.is_full() {
        let DiskSpace { free_bytes, reserve_bytes } = disk;
        let detail = format!("The disk has {free_bytes} bytes free, and {reserve_bytes} are kept in reserve.");
        return Err(Problem::new(Code::DiskFull, detail)
            .hint("Delete jobs, models or data sets that are no longer needed, or give the server a larger disk.")
            .member("disk", serde_json::json!(disk)));
    }
    app.blobs.check_writable().await?;
    let details = match guard::is_let_in(&app, &headers).await {
        true => Some(Details { version: env!("CARGO_PKG_VERSION"), disk, sandbox: app.sandbox.clone() }),
        false => None,
    };
    Ok(Json(Readiness { status: "ready", details }))
}

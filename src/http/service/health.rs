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
use crate::readiness::{self, Check, Need};

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    pub(super) status: &'static str,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Readiness {
    status: &'static str,
    /// Everything that the server needs, with its state in words.
    checks: Vec<Check>,
    #[serde(flatten)]
    details: Details,
}

/// What is for callers, not for strangers, who are told nothing of it.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct Details {
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'static str>,
    /// Of the data folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    disk: Option<DiskSpace>,
    /// What confines the engines of this server, as it was found at the start; not there when it runs none.
    #[serde(skip_serializing_if = "Option::is_none")]
    sandbox: Option<Sandbox>,
}

/// The process lives.
#[utoipa::path(get, path = "/healthz", operation_id = "healthz", tag = "service", security(()), responses((status = 200, body = Health)))]
pub(crate) async fn alive() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// The server is not about to stop, its database answers and has every migration, the disk has its reserve free, blobs can be written, the engine
/// started when the server did, and the database's notifications are heard. Callers with a key are told more.
#[utoipa::path(get, path = "/readyz", operation_id = "readyz", tag = "service", security(()), responses(
    (status = 200, body = Readiness),
    (status = 503, body = ProblemDocument, content_type = "application/problem+json",
     description = "With the member `checks` as in the answer 200. The code is that of the first check that fails: `draining`, `database_unavailable`, \
                    `disk_full` with a member `disk` as in the answer 200, `blob_store_unavailable`, `engine_unavailable` or `notifications_unavailable`"),
))]
pub(crate) async fn ready(State(app): State<App>, headers: HeaderMap) -> Result<Json<Readiness>, Problem> {
    let readiness = readiness::Readiness::of(readiness::Sight {
        database: &app.database,
        blobs: &app.blobs,
        disk: app.staging.disk(),
        notifications: &app.notifications,
        engine: app.engine,
        draining: &app.draining,
    })
    .await;
    if let Some(lack) = readiness.lack() {
        return Err(not_ready(lack, &readiness));
    }
    let readiness::Readiness { checks, disk } = readiness;
    let details = match guard::is_let_in(&app, &headers).await {
        true => Details { version: Some(env!("CARGO_PKG_VERSION")), disk, sandbox: app.sandbox.clone() },
        false => Details::default(),
    };
    Ok(Json(Readiness { status: "ready", checks, details }))
}

fn not_ready(lack: &Check, readiness: &readiness::Readiness) -> Problem {
    let code = match lack.name {
        Need::Service => Code::Draining,
        Need::Database => Code::DatabaseUnavailable,
        Need::Disk => Code::DiskFull,
        Need::Blobs => Code::BlobStoreUnavailable,
        Need::Engine => Code::EngineUnavailable,
        Need::Notifications => Code::NotificationsUnavailable,
    };
    let problem = Problem::unavailable(code, lack.state).member("checks", serde_json::json!(readiness.checks));
    match (lack.name, readiness.disk) {
        (Need::Disk, Some(disk)) => problem
            .hint("Delete jobs, models or data sets that are no longer needed, or give the server a larger disk.")
            .member("disk", serde_json::json!(disk)),
        _ => problem,
    }
}

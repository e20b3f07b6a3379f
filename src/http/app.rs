//! What every handler shares.

use std::sync::Arc;

use axum::http::StatusCode;
use secateur_core::sandbox::Sandbox;

use super::gate::Entrance;
use super::request::credentials::CookieKind;
use crate::access::Access;
use crate::blob::{BlobStore, Staging};
use crate::database::{Database, Notifications};
use crate::event_feed::EventFeeds;
use crate::metrics::Exposition;
use crate::queue::Queue;
use crate::quota::Quotas;
use crate::readiness::EngineStanding;
use crate::upkeep::Upkeep;
use crate::upload::Uploads;
use crate::upload::resumable::Resumable;
use crate::webhook::Receivers;

/// What every handler shares.
#[derive(Debug, Clone)]
pub struct App {
    pub database: Database,
    pub queue: Queue,
    pub blobs: BlobStore,
    pub staging: Staging,
    pub uploads: Uploads,
    pub resumable: Resumable,
    pub upkeep: Upkeep,
    pub quotas: Quotas,
    pub notifications: Notifications,
    pub event_feeds: EventFeeds,
    /// Whom webhooks may be sent to.
    pub receivers: Arc<Receivers>,
    pub access: Access,
    pub entrance: Entrance,
    pub cookie: CookieKind,
    /// What confines the engines of this server; `None` without any.
    pub sandbox: Option<Sandbox>,
    pub engine: EngineStanding,
    pub metrics: Exposition,
    /// Whether they are for everyone who reaches the server.
    pub metrics_are_public: bool,
    /// Cancelled when the server drains: long answers end then.
    pub draining: tokio_util::sync::CancellationToken,
}

impl App {
    /// Frees what a deletion has left. Its rows are gone, so nobody sees it any more, and what cannot be freed now is later.
    pub async fn free_blobs(&self) -> StatusCode {
        if let Err(error) = self.upkeep.free_blobs().await {
            tracing::warn!(%error, "blobs of something that was deleted could not be freed");
        }
        StatusCode::NO_CONTENT
    }
}

//! `/v1/webhook-secrets`: an administrator makes, lists and deletes what the deliveries of their own tenant are signed with.

pub(super) mod create;
pub(super) mod delete;
pub(super) mod list;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::id::WebhookSecretId;
use crate::table::webhook_secret::WebhookSecret;
use crate::webhook::rotation::GRACE_HOURS;

/// How a secret takes the place of those before it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WebhookSecretIn {
    /// How long the others sign beside it.
    #[schema(minimum = 0, maximum = 720)]
    grace_hours: u32,
}

impl Default for WebhookSecretIn {
    fn default() -> Self {
        Self { grace_hours: GRACE_HOURS }
    }
}

/// A secret that signs deliveries, without the secret itself.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookSecret)]
pub(super) struct WebhookSecretOut {
    #[schema(value_type = String, example = "whs_0198c2f4a7b17c3e8d21f00dcafe1234")]
    id: WebhookSecretId,
    tenant: String,
    /// `false` for the one that was made by itself, since a delivery had to be signed: nobody knows it.
    was_shown: bool,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    /// From when on it signs nothing; `null` for the newest.
    #[serde(with = "time::serde::rfc3339::option")]
    retires_at: Option<OffsetDateTime>,
}

/// A new secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NewWebhookSecret)]
pub(super) struct NewWebhookSecretOut {
    #[serde(flatten)]
    about: WebhookSecretOut,
    /// What receivers verify with, `whsec_…`. It is shown this once.
    secret: String,
}

/// The secrets in force, newest first, ten at most.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WebhookSecretList {
    items: Vec<WebhookSecretOut>,
}

impl From<WebhookSecret> for WebhookSecretOut {
    fn from(secret: WebhookSecret) -> Self {
        let WebhookSecret { id, tenant, was_shown, created_at, retires_at } = secret;
        Self { id, tenant: tenant.to_string(), was_shown, created_at, retires_at }
    }
}

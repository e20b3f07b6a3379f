//! `/v1/keys`: an administrator makes, lists and revokes the keys of their own tenant.

pub(super) mod create;
pub(super) mod list;
pub(super) mod revoke;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::access::Scope;
use crate::id::KeyId;
use crate::table::api_key::ApiKey;

/// A key that is to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyIn {
    /// What people call it, 1 to 100 characters.
    name: String,
    #[serde(default)]
    scope: Scope,
    /// How long it is good for; for ever when it is not given.
    #[schema(minimum = 1, maximum = 3650)]
    expires_in_days: Option<u32>,
}

/// A key, without its secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Key)]
pub(super) struct KeyOut {
    #[schema(value_type = String, example = "key_0198c2f4a7b17c3e8d21f00dcafe1234")]
    id: KeyId,
    name: String,
    tenant: String,
    scope: Scope,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    /// To the minute.
    #[serde(with = "time::serde::rfc3339::option")]
    last_used_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    expires_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    revoked_at: Option<OffsetDateTime>,
}

/// A new key, with its secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NewKey)]
pub(super) struct NewKeyOut {
    #[serde(flatten)]
    key: KeyOut,
    /// What goes behind `Authorization: Bearer`. It is shown this once.
    secret: String,
}

/// A page of keys, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct KeyPage {
    items: Vec<KeyOut>,
    /// `after` of the next page; `null` on the last one.
    #[schema(value_type = Option<String>)]
    next: Option<KeyId>,
}

impl From<ApiKey> for KeyOut {
    fn from(key: ApiKey) -> Self {
        let ApiKey { id, name, tenant, scope, created_at, last_used_at, expires_at, revoked_at } = key;
        Self { id, name, tenant: tenant.to_string(), scope, created_at, last_used_at, expires_at, revoked_at }
    }
}

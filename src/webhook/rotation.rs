//! Secrets of a tenant: made, replaced, and made by themselves where a delivery has none to be signed with.
//!
//! A new secret takes the place of those before it, which sign beside it until their grace is over: receivers that know either are served. A
//! tenant that has none gets one with its first delivery. Nobody has been given that one, so the first that is asked for replaces it at once.

use std::time::Duration;

use super::SigningSecret;
use crate::access::Tenant;
use crate::database::{Database, DatabaseError};
use crate::table::webhook_secret::{self, WebhookSecret};

/// Secrets of a tenant that may be in force at once: every delivery carries a signature of each.
pub const MOST: usize = 10;

/// How long a secret signs beside the one that takes its place, unless somebody says otherwise.
pub const GRACE_HOURS: u32 = 24;

/// The longest that it may: 30 days.
pub const LONGEST_GRACE_HOURS: u32 = 720;

/// What became of a secret that was asked for.
#[derive(Debug)]
pub enum Rotation {
    /// The secret in full is not to be had again.
    Made(WebhookSecret, SigningSecret),
    /// The tenant has [`MOST`] already.
    TooMany,
}

/// Makes a secret that takes the place of the tenant's others.
pub async fn rotate(database: &Database, tenant: &Tenant, grace: Duration) -> Result<Rotation, DatabaseError> {
    let secret = SigningSecret::generate();
    let mut transaction = database.begin().await?;
    webhook_secret::delete_unshown(&mut *transaction, tenant).await?;
    webhook_secret::retire_all(&mut *transaction, tenant, grace).await?;
    if webhook_secret::list(&mut *transaction, Some(tenant)).await?.len() >= MOST {
        return Ok(Rotation::TooMany);
    }
    let made = webhook_secret::insert_shown(&mut *transaction, tenant, &secret).await?;
    transaction.commit().await?;
    Ok(Rotation::Made(made, secret))
}

/// The secrets that a tenant's deliveries are signed with now, newest first; there is always one.
pub(super) async fn secrets_of(database: &Database, tenant: &Tenant) -> Result<Vec<SigningSecret>, DatabaseError> {
    let secrets = webhook_secret::in_force(database.pool(), tenant).await?;
    if !secrets.is_empty() {
        return Ok(secrets);
    }
    webhook_secret::insert_unshown(database.pool(), tenant, &SigningSecret::generate()).await?;
    let secrets = webhook_secret::in_force(database.pool(), tenant).await?;
    match secrets.is_empty() {
        true => Err(DatabaseError::Collision(format!("somebody has just deleted the new secret of tenant {tenant}"))),
        false => Ok(secrets),
    }
}

//! Keys: made once, shown once, revoked for good.

use super::{Secret, SecretKind};
use crate::database::{Database, DatabaseError};
use crate::table::api_key::{self, ApiKey};

pub use super::new_key::{InvalidKeyName, InvalidLifetime, KeyName, Lifetime, NewKey};

/// Makes a key. Its secret is not to be had again.
pub async fn create(database: &Database, new: &NewKey) -> Result<(ApiKey, Secret), DatabaseError> {
    let secret = Secret::generate(SecretKind::Key);
    let expires_at = new.lifetime.map(Lifetime::end);
    let key = api_key::insert(database.pool(), new, secret.sha256(), expires_at).await?;
    Ok((key, secret))
}

/// Whether callers must show a key. One that has expired counts, so that a server does not open by itself as time passes.
pub async fn are_needed(database: &Database) -> Result<bool, DatabaseError> {
    api_key::is_any_not_revoked(database.pool()).await
}

//! Browser sessions: a cookie in exchange for a key.
//!
//! A page must not keep a key where scripts can read it, so it shows the key once and gets a cookie that scripts cannot
//! read. Browsers send cookies unasked; therefore what changes something must also carry a token that only the page knows
//! that opened the session or asked for it. A session ends after [`LIFETIME`], when it is closed, and with its key.

use std::time::Duration;

use super::{Secret, SecretKind};
use crate::database::{Database, DatabaseError};
use crate::digest::Sha256;
use crate::id::KeyId;
use crate::table;

pub const LIFETIME: Duration = Duration::from_hours(12);

/// A session, by the token in its cookie.
#[derive(Debug, Clone)]
pub struct Session(Secret);

impl Session {
    /// Opens a session of a key, and forgets those that have expired.
    pub async fn open(database: &Database, key: KeyId) -> Result<Self, DatabaseError> {
        let session = Self(Secret::generate(SecretKind::Session));
        table::session::delete_expired(database.pool()).await?;
        table::session::insert(database.pool(), session.sha256(), key, LIFETIME).await?;
        Ok(session)
    }

    /// Ends the session; one that has ended already is no error.
    pub async fn close(&self, database: &Database) -> Result<(), DatabaseError> {
        table::session::delete(database.pool(), self.sha256()).await
    }

    /// The session of a cookie's value; `None` when it cannot be one.
    pub fn parse(token: &str) -> Option<Self> {
        Secret::parse(SecretKind::Session, token).map(Self)
    }

    pub fn sha256(&self) -> Sha256 {
        self.0.sha256()
    }

    /// The cookie's value.
    pub fn token(&self) -> &str {
        self.0.reveal()
    }

    /// What a request that changes something carries beside the cookie.
    pub fn csrf_token(&self) -> String {
        self.0.derive("csrf")
    }

    /// Digests are compared, so the time it takes tells nothing about the token.
    pub fn is_csrf_token(&self, token: &str) -> bool {
        Sha256::of(token.as_bytes()) == Sha256::of(self.csrf_token().as_bytes())
    }
}

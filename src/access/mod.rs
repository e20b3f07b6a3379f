//! Who may call, and what is whose.
//!
//! A caller shows a key, a browser shows the cookie of a session that a key opened, and on a server without keys nobody
//! shows anything. Whichever it is becomes a [`Caller`]: a tenant, to whom everything belongs that the caller makes and
//! beyond whose things it sees none, and a scope, which says what it may do there. Nothing of it is cached: a key that is
//! revoked is refused from the next request on, and the streams that it opened end within seconds.
//!
//! Two things do not depend on keys: [`HostPolicy`] says under which names the server answers, and [`provenance`] which
//! pages a browser's request may come from.

mod host;
pub mod key;
mod new_key;
pub mod provenance;
mod public_url;
mod scope;
mod secret;
pub mod session;
mod tenant;

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;

use crate::database::{Database, DatabaseError};
use crate::id::KeyId;
use crate::table;

pub use host::{Authority, Host, HostName, HostPolicy, InvalidHostName};
pub use public_url::{InvalidPublicUrl, PublicUrl};
pub use scope::{InvalidScope, Scope};
pub use secret::{Secret, SecretKind};
pub use session::Session;
pub use tenant::{InvalidTenant, Tenant};

/// How old the answer may be that a key is still in force, for answers that last.
const LET_IN_FOR: Duration = Duration::from_secs(1);
/// Keys of which that is remembered.
const MOST_KEYS: u64 = 10_000;

/// Who sent a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// To whom belongs what the caller makes, and the only one whose things it sees.
    pub tenant: Tenant,
    /// `None` on a server without keys.
    pub key_id: Option<KeyId>,
    pub scope: Scope,
}

impl Caller {
    /// Whoever comes without a key while there is none. Keys are made on the command line then, so that no stranger can
    /// shut the others out.
    pub fn anonymous() -> Self {
        Self { tenant: Tenant::of_nobody(), key_id: None, scope: Scope::Submit }
    }

    /// Refuses a caller whose scope does not include the one that is needed.
    pub fn require(&self, needed: Scope) -> Result<(), ScopeTooNarrow> {
        match self.scope.includes(needed) {
            true => Ok(()),
            false => Err(ScopeTooNarrow { scope: self.scope, needed }),
        }
    }
}

/// A caller may not do this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the scope `{needed}` is needed, and the caller has `{scope}`")]
pub struct ScopeTooNarrow {
    pub scope: Scope,
    pub needed: Scope,
}

/// What a request shows.
#[derive(Debug, Clone, Copy)]
pub enum Credentials<'a> {
    Nothing,
    Key(&'a str),
    Session { token: &'a str, proof: Proof<'a> },
}

/// What a request with a cookie shows beside it, since browsers send cookies unasked.
#[derive(Debug, Clone, Copy)]
pub enum Proof<'a> {
    /// The request changes nothing.
    NotNeeded,
    /// The token that was given to the page of the session.
    Token(Option<&'a str>),
}

#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    #[error("a key is needed")]
    NothingShown,
    /// The same for every reason, so that nobody learns which keys there were.
    #[error("the key or session is unknown, revoked or expired")]
    NotInForce,
    #[error("the token of the session's page is missing or wrong")]
    WithoutProof,
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Decides who a caller is; clones share what is behind it.
#[derive(Debug, Clone)]
pub struct Access {
    database: Database,
    /// Whether callers without a key are let in while there is none.
    lets_anonymous_in: bool,
    /// Whether those with long answers still would be let in, by their keys: a thousand streams of one key ask once a second.
    still_let_in: Cache<Option<KeyId>, bool>,
}

impl Access {
    pub fn new(database: Database, lets_anonymous_in: bool) -> Self {
        let still_let_in = Cache::builder().max_capacity(MOST_KEYS).time_to_live(LET_IN_FOR).build();
        Self { database, lets_anonymous_in, still_let_in }
    }

    pub async fn identify(&self, credentials: Credentials<'_>) -> Result<Caller, AccessError> {
        match credentials {
            Credentials::Nothing if self.needs_no_key().await? => Ok(Caller::anonymous()),
            Credentials::Nothing => Err(AccessError::NothingShown),
            Credentials::Key(text) => self.identify_key(text).await,
            Credentials::Session { token, proof } => self.identify_session(token, proof).await,
        }
    }

    async fn identify_key(&self, text: &str) -> Result<Caller, AccessError> {
        let secret = Secret::parse(SecretKind::Key, text).ok_or(AccessError::NotInForce)?;
        let pool = self.database.pool();
        let key = table::api_key::find_in_force(pool, secret.sha256()).await?.ok_or(AccessError::NotInForce)?;
        self.note_use(&key).await?;
        Ok(key.into())
    }

    async fn identify_session(&self, token: &str, proof: Proof<'_>) -> Result<Caller, AccessError> {
        let Some(session) = Session::parse(token) else { return self.identify_without_session().await };
        let pool = self.database.pool();
        let Some(key) = table::session::find_key_in_force(pool, session.sha256()).await? else {
            return self.identify_without_session().await;
        };
        match proof {
            Proof::Token(token) if !token.is_some_and(|token| session.is_csrf_token(token)) => {
                return Err(AccessError::WithoutProof);
            }
            Proof::Token(_) | Proof::NotNeeded => {}
        }
        self.note_use(&key).await?;
        Ok(key.into())
    }

    /// Browsers send the cookie of a session that has ended for as long as they have it, and to every port of a host. Where
    /// nobody needs a key it does no harm.
    async fn identify_without_session(&self) -> Result<Caller, AccessError> {
        match self.needs_no_key().await? {
            true => Ok(Caller::anonymous()),
            false => Err(AccessError::NotInForce),
        }
    }

    async fn needs_no_key(&self) -> Result<bool, DatabaseError> {
        Ok(self.lets_anonymous_in && !key::are_needed(&self.database).await?)
    }

    async fn note_use(&self, key: &table::api_key::InForce) -> Result<(), DatabaseError> {
        match key.use_is_noted {
            true => Ok(()),
            false => table::api_key::note_use(self.database.pool(), key.id).await,
        }
    }

    /// Whether a caller who was let in before still would be, or would have been a second ago; for answers that last.
    pub async fn is_still_let_in(&self, caller: &Caller) -> Result<bool, Arc<DatabaseError>> {
        let look = async {
            match caller.key_id {
                Some(id) => table::api_key::is_in_force(self.database.pool(), id).await,
                None => self.needs_no_key().await,
            }
        };
        self.still_let_in.try_get_with(caller.key_id, look).await
    }
}

impl From<table::api_key::InForce> for Caller {
    fn from(key: table::api_key::InForce) -> Self {
        Self { tenant: key.tenant, key_id: Some(key.id), scope: key.scope }
    }
}

//! Ids in paths and bodies, and whose they are.

use std::collections::HashMap;
use std::fmt::Display;
use std::str::FromStr;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use sqlx::PgPool;
use time::format_description::well_known::Rfc3339;

use crate::access::{Caller, Tenant};
use crate::database::DatabaseError;
use crate::http::App;
use crate::http::answer::problem::{Code, Problem};
use crate::id::{DatasetId, InvalidId, JobId, KeyId, ModelId, WebhookSecretId};
use crate::table;

/// An id that names a resource of the API.
pub(crate) trait ResourceId: FromStr<Err = InvalidId> + Display + Copy + Send + Sync {
    const WHAT: &'static str;
    const NOT_FOUND: Code;

    /// Whether it names something, and something of this tenant.
    fn belongs_to(self, pool: &PgPool, tenant: &Tenant) -> impl Future<Output = Result<bool, DatabaseError>> + Send;

    /// What is said of an id that names nothing of this tenant.
    fn missing(self, _pool: &PgPool, _tenant: &Tenant) -> impl Future<Output = Result<Problem, DatabaseError>> + Send {
        async move { Ok(not_found::<Self>(self)) }
    }
}

impl ResourceId for JobId {
    const WHAT: &'static str = "job";
    const NOT_FOUND: Code = Code::JobNotFound;

    async fn belongs_to(self, pool: &PgPool, tenant: &Tenant) -> Result<bool, DatabaseError> {
        table::job::belongs_to(pool, self, tenant).await
    }

    async fn missing(self, pool: &PgPool, tenant: &Tenant) -> Result<Problem, DatabaseError> {
        let Some(at) = table::expired_job::find(pool, self, tenant).await? else { return Ok(not_found::<Self>(self)) };
        let at = at.format(&Rfc3339).expect("a time of the database is within RFC 3339");
        let detail = format!("Job `{self}` expired: it was deleted at {at} with its artifacts.");
        Ok(Problem::new(Code::JobExpired, detail).hint("`expires_at` of a job says until when it is kept."))
    }
}

impl ResourceId for ModelId {
    const WHAT: &'static str = "model";
    const NOT_FOUND: Code = Code::ModelNotFound;

    async fn belongs_to(self, pool: &PgPool, tenant: &Tenant) -> Result<bool, DatabaseError> {
        table::model::belongs_to(pool, self, tenant).await
    }
}

impl ResourceId for DatasetId {
    const WHAT: &'static str = "data set";
    const NOT_FOUND: Code = Code::DatasetNotFound;

    async fn belongs_to(self, pool: &PgPool, tenant: &Tenant) -> Result<bool, DatabaseError> {
        table::dataset::belongs_to(pool, self, tenant).await
    }
}

impl ResourceId for KeyId {
    const WHAT: &'static str = "key";
    const NOT_FOUND: Code = Code::KeyNotFound;

    async fn belongs_to(self, pool: &PgPool, tenant: &Tenant) -> Result<bool, DatabaseError> {
        table::api_key::belongs_to(pool, self, tenant).await
    }
}

impl ResourceId for WebhookSecretId {
    const WHAT: &'static str = "webhook secret";
    const NOT_FOUND: Code = Code::WebhookSecretNotFound;

    async fn belongs_to(self, pool: &PgPool, tenant: &Tenant) -> Result<bool, DatabaseError> {
        table::webhook_secret::belongs_to(pool, self, tenant).await
    }
}

/// There is nothing under an id.
pub(crate) fn not_found<I: ResourceId>(id: impl Display) -> Problem {
    Problem::new(I::NOT_FOUND, format!("There is no {} `{id}`.", I::WHAT))
}

/// Refuses an id that names nothing, or something of another tenant: nobody can tell which.
pub(crate) async fn require_own<I: ResourceId>(app: &App, caller: &Caller, id: I) -> Result<I, Problem> {
    match id.belongs_to(app.database.pool(), &caller.tenant).await? {
        true => Ok(id),
        false => Err(id.missing(app.database.pool(), &caller.tenant).await?),
    }
}

/// The `{id}` of a path, which names something of the caller's tenant. A malformed id is answered like an unknown one, 404. There
/// is no other way to an id of a path, so a handler cannot forget whose it is.
pub(crate) struct Own<I>(pub I);

impl<I: ResourceId> FromRequestParts<App> for Own<I> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let caller = <Caller as FromRequestParts<App>>::from_request_parts(parts, app).await?;
        let Path(segments) = Path::<HashMap<String, String>>::from_request_parts(parts, app)
            .await
            .map_err(|error| Problem::new(Code::RouteNotFound, error.body_text()))?;
        let text = segments.get("id").map(String::as_str).unwrap_or_default();
        let malformed = |error| Problem::new(I::NOT_FOUND, format!("There is no such {}: {error}.", I::WHAT));
        let id = text.parse::<I>().map_err(malformed)?;
        require_own(app, &caller, id).await.map(Self)
    }
}

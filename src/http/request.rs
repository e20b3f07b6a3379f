//! Parts of a request, parsed: path ids, query parameters, JSON bodies, headers.

use std::collections::HashMap;
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use futures::StreamExt;
use secateur_core::json;
use secateur_core::spec::LONGEST_TEXT;
use serde::Deserialize;
use sqlx::PgPool;

use super::App;
use super::problem::{Code, Problem};
use crate::access::{Caller, Tenant};
use crate::database::DatabaseError;
use crate::id::{DatasetId, InvalidId, JobId, KeyId, ModelId};
use crate::table;

/// A job spec may be the longest JSON there is; the rest is for the names of what it is to work on.
pub const LONGEST_JSON: usize = LONGEST_TEXT + (1 << 10);
/// How long JSON may take to arrive, however much of it there is.
const TIME_FOR_JSON: Duration = Duration::from_secs(60);
const LONGEST_PAGE: i64 = 200;
const USUAL_PAGE: i64 = 50;

/// An id that names a resource of the API.
pub trait ResourceId: FromStr<Err = InvalidId> + Display + Copy + Send + Sync {
    const WHAT: &'static str;
    const NOT_FOUND: Code;

    /// Whether it names something, and something of this tenant.
    fn belongs_to(self, pool: &PgPool, tenant: &Tenant) -> impl Future<Output = Result<bool, DatabaseError>> + Send;
}

impl ResourceId for JobId {
    const WHAT: &'static str = "job";
    const NOT_FOUND: Code = Code::JobNotFound;

    async fn belongs_to(self, pool: &PgPool, tenant: &Tenant) -> Result<bool, DatabaseError> {
        table::job::belongs_to(pool, self, tenant).await
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

/// There is nothing under an id.
pub fn not_found<I: ResourceId>(id: impl Display) -> Problem {
    Problem::new(I::NOT_FOUND, format!("There is no {} `{id}`.", I::WHAT))
}

/// Refuses an id that names nothing, or something of another tenant: nobody can tell which.
pub async fn require_own<I: ResourceId>(app: &App, caller: &Caller, id: I) -> Result<I, Problem> {
    match id.belongs_to(app.queue.database().pool(), &caller.tenant).await? {
        true => Ok(id),
        false => Err(not_found::<I>(id)),
    }
}

/// The `{id}` of a path, which names something of the caller's tenant. What is no id names nothing, so it is a 404 too.
/// There is no other way to an id of a path, so a handler cannot forget whose it is.
pub struct Own<I>(pub I);

impl<I: ResourceId> FromRequestParts<App> for Own<I> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let caller = <Caller as FromRequestParts<App>>::from_request_parts(parts, app).await?;
        let Path(segments) = Path::<HashMap<String, String>>::from_request_parts(parts, app)
            .await
            .map_err(|error| Problem::new(Code::RouteNotFound, error.body_text()))?;
        let text = segments.get("id").map(String::as_str).unwrap_or_default();
        let names_nothing = |error| Problem::new(I::NOT_FOUND, format!("There is no such {}: {error}.", I::WHAT));
        let id = text.parse::<I>().map_err(names_nothing)?;
        require_own(app, &caller, id).await.map(Self)
    }
}

/// The `{name}` of a path.
pub struct ArtifactPath(pub String);

impl<S: Send + Sync> FromRequestParts<S> for ArtifactPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(mut segments) = Path::<HashMap<String, String>>::from_request_parts(parts, state)
            .await
            .map_err(|error| Problem::new(Code::RouteNotFound, error.body_text()))?;
        Ok(Self(segments.remove("name").unwrap_or_default()))
    }
}

/// The query string; unknown parameters are ignored, bad values are named.
pub struct Parameters(HashMap<String, String>);

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Query(parameters) = Query::from_request_parts(parts, state)
            .await
            .map_err(|error| Problem::new(Code::InvalidParameter, error.body_text()))?;
        Ok(Self(parameters))
    }
}

impl Parameters {
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A parameter's value; `allowed` completes the sentence "it must be …".
    pub fn get<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Option<T>,
        allowed: &str,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        parse(text).map(Some).ok_or_else(|| Problem::invalid_parameter(name, text, allowed))
    }

    /// Items of a page.
    pub fn limit(&self) -> Result<i64, Problem> {
        let parse = |text: &str| text.parse().ok().filter(|limit| (1..=LONGEST_PAGE).contains(limit));
        let limit = self.get("limit", parse, &format!("a whole number from 1 to {LONGEST_PAGE}"))?;
        Ok(limit.unwrap_or(USUAL_PAGE))
    }

    /// The last id of the page before.
    pub fn after<I: ResourceId>(&self) -> Result<Option<I>, Problem> {
        self.get("after", |text| text.parse().ok(), &format!("the id of a {}", I::WHAT))
    }
}

/// A header's value as text.
pub fn header_text(headers: &HeaderMap, name: HeaderName) -> Result<Option<&str>, Problem> {
    let Some(value) = headers.get(&name) else { return Ok(None) };
    value
        .to_str()
        .map(Some)
        .map_err(|_| Problem::invalid_parameter(name.as_str(), "not ASCII", "visible ASCII characters"))
}

/// The whole of a small body.
pub async fn read_body(body: Body) -> Result<Vec<u8>, Problem> {
    let too_long = || {
        let detail = format!("The body took longer than {} seconds to arrive.", TIME_FOR_JSON.as_secs());
        Problem::new(Code::UploadStalled, detail)
    };
    tokio::time::timeout(TIME_FOR_JSON, read_to_end(body)).await.map_err(|_| too_long())?
}

async fn read_to_end(body: Body) -> Result<Vec<u8>, Problem> {
    let mut pieces = body.into_data_stream();
    let mut whole = Vec::new();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| Problem::broken_body(&error))?;
        if whole.len() + piece.len() > LONGEST_JSON {
            return Err(Problem::payload_too_large(LONGEST_JSON as u64));
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole)
}

pub fn parse_json<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, Problem> {
    let depth = json::depth(text);
    if depth > json::DEEPEST {
        let detail = format!("The JSON is nested {depth} levels deep: at most {} are allowed.", json::DEEPEST);
        return Err(Problem::new(Code::InvalidJson, detail));
    }
    serde_json::from_slice(text).map_err(|error| Problem::new(Code::InvalidJson, format!("Not valid JSON: {error}.")))
}

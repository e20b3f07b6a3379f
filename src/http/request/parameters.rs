//! Query parameters and headers, parsed.

use std::collections::HashMap;

use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};

use crate::http::answer::problem::{Code, Problem};

/// The query string; unknown parameters are ignored, bad values are named.
pub(crate) struct Parameters(HashMap<String, String>);

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
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A parameter's value; `allowed` completes the sentence "it must be …".
    pub(crate) fn get<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Option<T>,
        allowed: &str,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        parse(text).map(Some).ok_or_else(|| Problem::invalid_parameter(name, text, allowed))
    }
}

/// A header's value as text.
pub(crate) fn header_text(headers: &HeaderMap, name: HeaderName) -> Result<Option<&str>, Problem> {
    let Some(value) = headers.get(&name) else { return Ok(None) };
    value
        .to_str()
        .map(Some)
        .map_err(|_| Problem::invalid_parameter(name.as_str(), "not ASCII", "visible ASCII characters"))
}

/// The `{name}` of a path.
pub(crate) struct ArtifactPath(pub String);

impl<S: Send + Sync> FromRequestParts<S> for ArtifactPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Ok(Self(segment(parts, state, "name").await?))
    }
}

/// The `{delivery_id}` of a path, as it was written.
pub(crate) struct DeliveryPath(pub String);

impl<S: Send + Sync> FromRequestParts<S> for DeliveryPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Ok(Self(segment(parts, state, "delivery_id").await?))
    }
}

/// The `{version}` and the `{path}` of a file of the dashboard.
pub(crate) struct AssetPath {
    pub version: String,
    pub path: String,
}

impl<S: Send + Sync> FromRequestParts<S> for AssetPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Ok(Self { version: segment(parts, state, "version").await?, path: segment(parts, state, "path").await? })
    }
}

async fn segment(parts: &mut Parts, state: &(impl Send + Sync), name: &str) -> Result<String, Problem> {
    let Path(mut segments) = Path::<HashMap<String, String>>::from_request_parts(parts, state)
        .await
        .map_err(|error| Problem::new(Code::RouteNotFound, error.body_text()))?;
    Ok(segments.remove(name).unwrap_or_default())
}

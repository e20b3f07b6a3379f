//! The description of the API, out of the handlers themselves.

use axum::Json;
use axum::http::StatusCode;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, PathItem, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{Modify, OpenApi};

use crate::http::router::{guarded_routes, metrics_routes, public_routes};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Secateur",
        description = "Pruning as a service: POST a TorchScript model and a target, get a smaller one that loads in stock \
                       PyTorch. Errors are RFC 9457 problem documents with a stable `code`.",
        license(name = "MIT OR Apache-2.0")
    ),
    modifiers(&SecuritySchemes),
    security(("key" = []), ("session" = []), ()),
    tags(
        (name = "jobs", description = "Pruning jobs, their events and their artifacts"),
        (name = "models", description = "TorchScript models that were uploaded"),
        (name = "datasets", description = "Data sets that were uploaded"),
        (name = "uploads", description = "Uploads in pieces, by the tus protocol"),
        (name = "webhooks", description = "What webhooks were told, and the secrets that sign it"),
        (name = "access", description = "Keys and browser sessions"),
        (name = "service", description = "The service itself"),
    )
)]
struct Document;

struct SecuritySchemes;

impl Modify for SecuritySchemes {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let key = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(
            "A key that `secateur key create` or POST /v1/keys made. A server without keys on the loopback interface needs none.",
        ));
        let session = ApiKeyValue::with_description(
            "secateur",
            "The cookie of POST /v1/session, called `__Host-secateur` over TLS; requests that change something also need `X-CSRF-Token`.",
        );
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("key", SecurityScheme::Http(key.build()));
        components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(session)));
    }
}

/// The whole document; `openapi.yaml` is its committed form.
pub fn document() -> utoipa::openapi::OpenApi {
    let (_, public) = public_routes().split_for_parts();
    let (_, guarded) = guarded_routes().split_for_parts();
    let (_, metrics) = metrics_routes().split_for_parts();
    let mut document = Document::openapi().merge_from(guarded).merge_from(metrics).merge_from(public);
    document.paths.paths.values_mut().for_each(complete_responses);
    document
}

/// What stands before the handlers may refuse any request, for the lack of a key or of room, and anything may fail. Every response has a
/// description, as OpenAPI wants it: where a handler gives none it is the name of the status.
fn complete_responses(path: &mut PathItem) {
    let PathItem { get, put, post, delete, options, head, patch, .. } = path;
    // An answer to HEAD has no body.
    let without_body = head.iter_mut().map(|operation| (operation, false));
    let with_body = [get, put, post, delete, options, patch].into_iter().flatten().map(|operation| (operation, true));
    for (operation, has_body) in with_body.chain(without_body) {
        let responses = &mut operation.responses.responses;
        for (statuses, description) in REFUSALS {
            let refusal = if has_body { problem(description) } else { Response::new(description) };
            responses.entry(statuses.to_owned()).or_insert(refusal.into());
        }
        for (status, response) in responses.iter_mut() {
            if let RefOr::T(response) = response
                && response.description.is_empty()
            {
                let name = StatusCode::from_bytes(status.as_bytes()).ok().and_then(|status| status.canonical_reason());
                name.unwrap_or(status).clone_into(&mut response.description);
            }
        }
    }
}

/// Statuses that every operation may answer with, and why.
const REFUSALS: [(&str, &str); 2] = [
    (
        "4XX",
        "The request is refused, as it is or by whom it is made; `code` says why. 429 has `Retry-After` where waiting helps",
    ),
    ("5XX", "The server cannot do it now, or failed; 503 has `Retry-After`"),
];

fn problem(description: &str) -> Response {
    let problem = Content::new(Some(Ref::from_schema_name("Problem")));
    ResponseBuilder::new().description(description).content("application/problem+json", problem).build()
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", operation_id = "openapi", tag = "service", security(()),
    responses((status = 200, description = "OpenAPI 3.1", body = serde_json::Value)))]
pub(crate) async fn serve() -> Json<utoipa::openapi::OpenApi> {
    Json(document())
}

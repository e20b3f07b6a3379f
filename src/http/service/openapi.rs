//! The description of the API, out of the handlers themselves.

use axum::Json;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
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
    Document::openapi().merge_from(guarded).merge_from(metrics).merge_from(public)
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", operation_id = "openapi", tag = "service", security(()), responses((status = 200, description = "OpenAPI 3.1")))]
pub(crate) async fn serve() -> Json<utoipa::openapi::OpenApi> {
    Json(document())
}

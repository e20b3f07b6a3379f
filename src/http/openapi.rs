//! The description of the API, out of the handlers themselves.

use axum::Json;
use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Secateur",
        description = "Pruning as a service: POST a TorchScript model and a target, get a smaller one that loads in stock \
                       PyTorch. Errors are RFC 9457 problem documents with a stable `code`.",
        license(name = "MIT OR Apache-2.0")
    ),
    tags(
        (name = "jobs", description = "Pruning jobs, their events and their artifacts"),
        (name = "models", description = "TorchScript models that were uploaded"),
        (name = "datasets", description = "Data sets that were uploaded"),
        (name = "service", description = "The service itself"),
    )
)]
struct Document;

/// The whole document; `openapi.yaml` is its committed form.
pub fn document() -> utoipa::openapi::OpenApi {
    let (_, paths) = super::routes().split_for_parts();
    Document::openapi().merge_from(paths)
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "service", responses((status = 200, description = "OpenAPI 3.1")))]
pub async fn serve() -> Json<utoipa::openapi::OpenApi> {
    Json(document())
}

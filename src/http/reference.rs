//! The reference of the API at `/docs/`: Swagger UI on `/openapi.json`, out of the binary.

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::body::Body;
use axum::http::{Response, header};
use axum::response::Redirect;
use axum::routing::get;
use utoipa_swagger_ui::Config;

use super::answer::problem::{Code, Problem};
use super::answer::quote::{LONGEST_VALUE, cut};
use super::request::parameters::AssetPath;

/// Where the reference is.
const PLACE: &str = "/docs/";

/// Scripts and styles are files of this server, but for one style that Swagger UI's script adds, by its digest; small pictures are part of
/// the styles.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; \
                                       style-src 'self' 'sha256-RL3ie0nH+Lzz2YNqQN83mnU0J1ot4QL7b99vMdIX99w='; \
                                       img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const AN_HOUR: &str = "public, max-age=3600";

static CONFIG: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
    let config = Config::from("/openapi.json").deep_linking(true).display_request_duration(true);
    Arc::new(config.default_models_expand_depth(0).filter(true))
});

pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/docs", get(async || Redirect::permanent(PLACE)))
        .route(PLACE, get(async || file("")))
        .route("/docs/{*path}", get(async |AssetPath { path, .. }: AssetPath| file(&path)))
}

fn file(path: &str) -> Result<Response<Body>, Problem> {
    let found = utoipa_swagger_ui::serve(path, CONFIG.clone()).map_err(|error| Problem::internal(error.to_string()))?;
    let file = found.ok_or_else(|| {
        Problem::new(Code::RouteNotFound, format!("The reference has no file `{}`.", cut(path, LONGEST_VALUE)))
            .hint(format!("It begins at `{PLACE}`."))
    })?;
    let response = Response::builder()
        .header(header::CONTENT_TYPE, file.content_type)
        .header(header::CACHE_CONTROL, AN_HOUR)
        .header(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY);
    Ok(response.body(Body::from(file.bytes.into_owned())).expect("the headers are ASCII"))
}

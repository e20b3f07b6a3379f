//! The dashboard: `/` and the pages below it, out of the binary.
//!
//! Every page is the same document, `index.html`; its script looks at the address and asks the API for what it shows. So a page holds
//! nothing of anybody and needs no key, and whoever has none is asked for one by the script. Everything else of `dashboard/` is below
//! `/assets/VERSION/`, where `VERSION` is a digest of it all: browsers keep these files for ever, and a new server has new addresses.
//!
//! A debug build reads `dashboard/` from the disk at every request, so that a change of it is seen when a page is loaded again.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, LazyLock, OnceLock};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use axum::routing::get;
use flate2::Compression;
use flate2::write::GzEncoder;
use rust_embed::Embed;
use sha2::{Digest, Sha256};

use super::answer::problem::{Code, Problem};
use super::answer::quote::{LONGEST_VALUE, cut};
use super::answer::range::{Wanted, wanted};
use super::request::parameters::AssetPath;

/// The pages; all of them are `index.html`.
const PAGES: [&str; 8] = ["/", "/jobs/{id}", "/models", "/models/{id}", "/datasets", "/submit", "/keys", "/sign-in"];
const INDEX: &str = "index.html";
/// In `index.html`, where the version of the assets goes.
const VERSION: &str = "{version}";
/// A file that gets hardly shorter is sent as it is.
const COMPRESSED: [&str; 5] = ["css", "html", "js", "svg", "txt"];

/// Scripts and styles are files of this server, and data come from its API; nothing else is loaded, run or sent anywhere.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                                       base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// Kept, and asked for again each time.
const ASK_AGAIN: &str = "no-cache";

#[derive(Embed)]
#[folder = "dashboard"]
#[exclude = "*.json"]
#[exclude = "*.d.ts"]
#[exclude = "*.md"]
struct Files;

struct Asset {
    bytes: Cow<'static, [u8]>,
    /// Made when it is first asked for.
    gzip: OnceLock<Option<Vec<u8>>>,
}

struct Dashboard {
    version: String,
    assets: BTreeMap<String, Asset>,
}

impl Dashboard {
    fn read() -> Self {
        let files: BTreeMap<String, rust_embed::EmbeddedFile> =
            Files::iter().filter_map(|path| Files::get(&path).map(|file| (path.into_owned(), file))).collect();
        let mut digest = Sha256::new();
        for (path, file) in &files {
            digest.update(path.as_bytes());
            digest.update(file.metadata.sha256_hash());
        }
        let version: String = digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let assets = files.into_iter().map(|(path, file)| {
            let bytes = match path == INDEX {
                true => Cow::Owned(String::from_utf8_lossy(&file.data).replace(VERSION, &version).into_bytes()),
                false => file.data,
            };
            (path, Asset { bytes, gzip: OnceLock::new() })
        });
        Self { assets: assets.collect(), version }
    }

    /// The files as they were built in, or in a debug build as they are now.
    fn current() -> Arc<Self> {
        static BUILT_IN: LazyLock<Arc<Dashboard>> = LazyLock::new(|| Arc::new(Dashboard::read()));
        match cfg!(debug_assertions) {
            true => Arc::new(Self::read()),
            false => BUILT_IN.clone(),
        }
    }

    fn answer(&self, path: &str, headers: &HeaderMap, caching: &'static str) -> Option<Response<Body>> {
        let asset = self.assets.get(path)?;
        let extension = path.rsplit('.').next().unwrap_or_default();
        let gzip = if takes_gzip(headers) { asset.gzip(extension) } else { None };
        let etag = format!("\"{}{}\"", self.version, if gzip.is_some() { "-gzip" } else { "" });
        let response = Response::builder()
            .header(header::ETAG, &etag)
            .header(header::CACHE_CONTROL, caching)
            .header(header::VARY, "accept-encoding")
            .header(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY)
            .header(CROSS_ORIGIN_OPENER_POLICY, "same-origin");
        let response = match (wanted(headers, &etag, asset.bytes.len() as u64), gzip) {
            (Wanted::NotModified, _) => response.status(StatusCode::NOT_MODIFIED).body(Body::empty()),
            (_, Some(gzip)) => response
                .header(header::CONTENT_TYPE, media_type(extension))
                .header(header::CONTENT_ENCODING, "gzip")
                .body(Body::from(gzip.to_vec())),
            (_, None) => response
                .header(header::CONTENT_TYPE, media_type(extension))
                .body(Body::from(asset.bytes.clone().into_owned())),
        };
        Some(response.expect("the headers are ASCII"))
    }
}

const CROSS_ORIGIN_OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

impl Asset {
    fn gzip(&self, extension: &str) -> Option<&[u8]> {
        let compress = || {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(&self.bytes).and_then(|()| encoder.finish()).ok()
        };
        self.gzip.get_or_init(|| COMPRESSED.contains(&extension).then(compress).flatten()).as_deref()
    }
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    let encodings = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    encodings.flat_map(|value| value.split(',')).any(|encoding| {
        let (name, quality) = encoding.split_once(';').unwrap_or((encoding, ""));
        name.trim().eq_ignore_ascii_case("gzip") && !matches!(quality.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000")
    })
}

fn media_type(extension: &str) -> HeaderValue {
    HeaderValue::from_static(match extension {
        "css" => "text/css; charset=utf-8",
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "svg" => "image/svg+xml",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    })
}

/// The routes of the dashboard, which are the same for everyone.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let router = PAGES.into_iter().fold(Router::new(), |router, page| router.route(page, get(show_page)));
    router.route("/assets/{version}/{*path}", get(show_asset))
}

/// Whether a path is one of the pages, so that anybody may link to it.
pub(super) fn is_page(path: &str) -> bool {
    PAGES.iter().any(|page| {
        let (mut pattern, mut segments) = (page.split('/'), path.split('/'));
        loop {
            match (pattern.next(), segments.next()) {
                (None, None) => return true,
                (Some("{id}"), Some(id)) if !id.is_empty() => {}
                (Some(expected), Some(found)) if expected == found => {}
                _ => return false,
            }
        }
    })
}

async fn show_page(headers: HeaderMap) -> Result<Response<Body>, Problem> {
    let page = Dashboard::current().answer(INDEX, &headers, ASK_AGAIN);
    page.ok_or_else(|| Problem::internal("the dashboard has no index.html"))
}

async fn show_asset(AssetPath { version, path }: AssetPath, headers: HeaderMap) -> Result<Response<Body>, Problem> {
    let dashboard = Dashboard::current();
    // A page that was loaded from another version of the server goes on with what there is now.
    let caching = if version == dashboard.version { FOR_EVER } else { ASK_AGAIN };
    let asset = if path == INDEX { None } else { dashboard.answer(&path, &headers, caching) };
    asset.ok_or_else(|| {
        Problem::new(Code::RouteNotFound, format!("The dashboard has no file `{}`.", cut(&path, LONGEST_VALUE)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_told_from_other_paths() {
        for page in ["/", "/jobs/job_1", "/models", "/models/mdl_1", "/datasets", "/submit", "/keys"] {
            assert!(is_page(page), "{page}");
        }
        for other in ["", "/jobs/", "/jobs", "/v1/jobs", "/jobs/a/b", "/submit/", "/assets/1/app.js", "/healthz"] {
            assert!(!is_page(other), "{other}");
        }
    }

    #[test]
    fn gzip_is_taken_unless_it_is_refused() {
        for (value, taken) in [("gzip, br", true), ("br;q=1.0, GZIP;q=0.8", true), ("gzip;q=0", false), ("br", false)] {
            let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(value))]);
            assert_eq!(takes_gzip(&headers), taken, "{value}");
        }
    }
}

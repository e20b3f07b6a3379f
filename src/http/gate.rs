//! Which requests are for this server: its own names, and no page of another origin.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method, header};

use super::answer::problem::{Code, Problem};
use super::dashboard;
use crate::access::provenance::{self, ForeignPage, Provenance};
use crate::access::{Authority, HostPolicy, PublicUrl};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// Pages that anybody may link to, beside those of the dashboard: they are the same for everyone.
const PUBLIC_PAGES: [&str; 5] = ["/openapi.json", "/docs", "/docs/", "/healthz", "/readyz"];

/// Which requests are for us.
#[derive(Debug, Clone)]
pub enum Entrance {
    Guarded(Arc<Gate>),
    /// Open to every page of every browser. Only tests have it, to show what the gate keeps out.
    Unguarded,
}

#[derive(Debug)]
pub struct Gate {
    pub hosts: HostPolicy,
    pub public_url: Option<PublicUrl>,
}

impl Gate {
    /// Refuses what is meant for another host or comes from a page of another origin.
    pub fn check(&self, request: &Request) -> Result<(), Problem> {
        let host = self.admitted_host(request)?;
        let mut origins = request.headers().get_all(header::ORIGIN).iter().peekable();
        let site = text(request.headers().get(SEC_FETCH_SITE));
        let shows_public_page = shows_public_page(request);
        if origins.peek().is_none() {
            let provenance = Provenance { origin: None, site, shows_public_page };
            provenance::check(provenance, &host, self.public_url.as_ref())?;
        }
        for origin in origins {
            let provenance = Provenance { origin: text(Some(origin)), site, shows_public_page };
            provenance::check(provenance, &host, self.public_url.as_ref())?;
        }
        Ok(())
    }

    /// The one host that the request names, in its header or its target, when it is one of ours.
    fn admitted_host(&self, request: &Request) -> Result<Authority, Problem> {
        let in_target = request.uri().authority().map(|authority| authority.as_str());
        let in_headers =
            request.headers().get_all(header::HOST).iter().map(|host| text(Some(host)).unwrap_or_default());
        let mut admitted = None;
        for named in in_target.into_iter().chain(in_headers) {
            let authority = Authority::parse(named).filter(|authority| self.hosts.admits(&authority.host));
            let authority = authority.ok_or_else(|| host_not_allowed(named))?;
            if admitted.as_ref().is_some_and(|admitted| *admitted != authority) {
                return Err(host_not_allowed(named));
            }
            admitted = Some(authority);
        }
        admitted.ok_or_else(|| Problem::new(Code::HostNotAllowed, "`Host` is missing: it must be this server's name."))
    }
}

/// A header's value, where one that is not ASCII is nothing that anybody allows.
fn text(value: Option<&HeaderValue>) -> Option<&str> {
    value.map(|value| value.to_str().unwrap_or("not ASCII"))
}

fn shows_public_page(request: &Request) -> bool {
    let is = |name: HeaderName, value: &str| request.headers().get(name).is_some_and(|given| given == value);
    matches!(*request.method(), Method::GET | Method::HEAD)
        && is(SEC_FETCH_MODE, "navigate")
        && is(SEC_FETCH_DEST, "document")
        && (PUBLIC_PAGES.contains(&request.uri().path()) || dashboard::is_page(request.uri().path()))
}

fn host_not_allowed(named: &str) -> Problem {
    let shown: String = named.chars().take(100).collect();
    let detail = format!("`Host` is `{shown}`: this server answers to its own names only.");
    Problem::new(Code::HostNotAllowed, detail).hint("Start the server with `--host NAME` to have it answer to a name.")
}

impl From<ForeignPage> for Problem {
    fn from(ForeignPage(origin): ForeignPage) -> Self {
        let detail = format!("{origin}: requests of pages of other origins are refused.");
        Self::new(Code::CrossOriginRefused, detail)
    }
}

//! Which page a browser's request comes from.
//!
//! Any page that a browser shows can send requests to any server that the browser reaches, one on this machine included.
//! It cannot read the answer, but an upload or a deletion needs no reading. Browsers say where a request comes from
//! (`Origin`, `Sec-Fetch-Site`) and pages cannot change what they say; other clients say nothing and are not concerned.
//! So whatever comes from another page is refused, reads too: there is no CORS here, hence nothing that such a page could
//! do with an answer but measure it. A link that somebody follows to a public page is no such request.

use super::{Authority, PublicUrl};

/// What a request says of its origin, by header.
#[derive(Debug, Clone, Copy, Default)]
pub struct Provenance<'a> {
    /// `Origin`
    pub origin: Option<&'a str>,
    /// `Sec-Fetch-Site`
    pub site: Option<&'a str>,
    /// Somebody follows a link or types an address, and a page that is anyone's is to be shown in a tab.
    pub shows_public_page: bool,
}

/// Where a refused request comes from, in the browser's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignPage(pub String);

/// Refuses a request of another page than ours. `own` is the request's `Host`, which [`super::HostPolicy`] has admitted.
pub fn check(provenance: Provenance<'_>, own: &Authority, public_url: Option<&PublicUrl>) -> Result<(), ForeignPage> {
    if let Some(origin) = provenance.origin
        && !is_own_origin(origin, own, public_url)
    {
        return Err(ForeignPage(format!("`Origin` is `{}`", shorten(origin))));
    }
    match provenance.site {
        None | Some("same-origin" | "none") => Ok(()),
        Some(_) if provenance.shows_public_page => Ok(()),
        Some(site) => Err(ForeignPage(format!("`Sec-Fetch-Site` is `{}`", shorten(site)))),
    }
}

/// Whether an origin is the server's own: that of its public URL, else what `Host` names with either scheme, since a proxy
/// may speak TLS for us. `null`, the origin of sandboxed frames and local files, is never our own.
fn is_own_origin(origin: &str, own: &Authority, public_url: Option<&PublicUrl>) -> bool {
    let Some(origin) = PublicUrl::parse_origin(origin) else { return false };
    let is_at = |authority: &Authority| origin.authority.is_same(authority, origin.scheme.usual_port());
    match public_url {
        // There everything comes by its scheme; another one is somebody in between.
        Some(url) if origin.authority.host == url.authority.host => {
            origin.scheme == url.scheme && is_at(&url.authority)
        }
        _ => is_at(own),
    }
}

fn shorten(text: &str) -> String {
    text.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_admitted(host: &str, origin: &str, url: Option<&str>) -> bool {
        let url = url.map(|url| url.parse().unwrap());
        let provenance = Provenance { origin: Some(origin), ..Provenance::default() };
        check(provenance, &Authority::parse(host).unwrap(), url.as_ref()).is_ok()
    }

    #[test]
    fn the_origin_must_be_that_of_the_host_port_included() {
        for (host, origin) in [
            ("localhost:8080", "http://localhost:8080"),
            ("LocalHost:8080", "http://localhost:8080"),
            ("localhost", "http://localhost"),
            ("localhost:80", "http://localhost"),
            ("pruner.example", "https://pruner.example"),
            ("[::1]:8080", "http://[::1]:8080"),
        ] {
            assert!(is_admitted(host, origin, None), "{origin} at {host}");
        }
        for (host, origin) in [
            ("localhost:8080", "http://localhost:8081"),
            ("localhost:8080", "http://localhost"),
            ("localhost:8080", "http://127.0.0.1:8080"),
            ("localhost:8080", "http://evil.test:8080"),
            ("localhost:8080", "null"),
            ("localhost:8080", ""),
            ("localhost:8080", "file://"),
            ("localhost:8080", "chrome-extension://localhost:8080"),
            ("localhost:8080", "http://localhost:8080.evil.test"),
            ("localhost:8080", "http://localhost:8080, http://evil.test"),
        ] {
            assert!(!is_admitted(host, origin, None), "{origin} at {host}");
        }
    }

    #[test]
    fn with_a_public_url_its_scheme_and_port_are_the_only_ones_there() {
        let url = Some("https://pruner.example");
        assert!(is_admitted("pruner.example", "https://pruner.example", url));
        assert!(
            is_admitted("127.0.0.1:8080", "https://pruner.example", url),
            "the proxy may name the server's own host"
        );
        assert!(is_admitted("localhost:8080", "http://localhost:8080", url), "here, beside the proxy");
        assert!(!is_admitted("pruner.example", "http://pruner.example", url));
        assert!(!is_admitted("pruner.example", "https://pruner.example:8443", url));
    }

    #[test]
    fn a_foreign_site_is_refused_unless_somebody_follows_a_link_to_a_public_page() {
        let own = Authority::parse("localhost:8080").unwrap();
        let check = |site, shows_public_page| {
            check(Provenance { origin: None, site: Some(site), shows_public_page }, &own, None).is_ok()
        };
        assert!(check("same-origin", false) && check("none", false));
        for site in ["cross-site", "same-site", "", "anything"] {
            assert!(!check(site, false), "{site}");
            assert!(check(site, true), "{site}");
        }
    }
}

//! Where the server is for its callers, when that is not where it listens: behind a proxy that speaks TLS.

use std::str::FromStr;

use super::Authority;

/// `https://pruner.example`, without a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    pub scheme: Scheme,
    pub authority: Authority,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not the URL of a server: it must be `https://` (or `http://`), a host and maybe a port, without a path"
)]
pub struct InvalidPublicUrl(String);

impl Scheme {
    pub(super) fn usual_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl PublicUrl {
    /// An origin as browsers write it; the same shape as the URL of a server.
    pub(super) fn parse_origin(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let scheme = match scheme {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return None,
        };
        Some(Self { scheme, authority: Authority::parse(authority)? })
    }

    pub fn is_https(&self) -> bool {
        self.scheme == Scheme::Https
    }
}

impl FromStr for PublicUrl {
    type Err = InvalidPublicUrl;

    fn from_str(text: &str) -> Result<Self, InvalidPublicUrl> {
        let url = Self::parse_origin(text.strip_suffix('/').unwrap_or(text));
        url.ok_or_else(|| InvalidPublicUrl(text.chars().take(200).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_has_a_scheme_and_a_host_and_no_path() {
        assert!("https://pruner.example/".parse::<PublicUrl>().unwrap().is_https());
        assert!(!"http://10.0.0.1:8080".parse::<PublicUrl>().unwrap().is_https());
        for text in ["pruner.example", "ftp://a", "https://", "https://a/b", "https://u@a", "null"] {
            text.parse::<PublicUrl>().unwrap_err();
        }
    }
}

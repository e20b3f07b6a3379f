//! What a caller shows: a key in a header, or the cookie of a session.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::access::PublicUrl;

/// How the session's cookie is called and kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CookieKind {
    /// Sent over TLS only and to this host only: the prefix makes browsers insist on both.
    Secure,
    Plain,
}

impl CookieKind {
    /// The callers' URL decides, since a proxy may speak TLS for us.
    pub fn of(public_url: Option<&PublicUrl>) -> Self {
        if public_url.is_some_and(PublicUrl::is_https) { Self::Secure } else { Self::Plain }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Secure => "__Host-secateur",
            Self::Plain => "secateur",
        }
    }

    pub fn set(self, value: &str, seconds: u64) -> (HeaderName, String) {
        let secure = if self == Self::Secure { "; Secure" } else { "" };
        let name = self.name();
        let cookie = format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
        (header::SET_COOKIE, cookie)
    }
}

/// The token in the session's cookie.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SessionCookie<'a>(pub &'a str);

impl<'a> SessionCookie<'a> {
    pub(crate) fn of(headers: &'a HeaderMap, kind: CookieKind) -> Option<Self> {
        let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
        let mut cookies = lines.flat_map(|line| line.split(';')).filter_map(|cookie| cookie.trim().split_once('='));
        cookies.find(|(name, _)| *name == kind.name()).map(|(_, token)| Self(token))
    }
}

/// The token of `Bearer TOKEN`; of any other scheme nothing that can be a key.
pub(crate) fn bearer(authorization: &HeaderValue) -> &str {
    let (scheme, token) = authorization.to_str().unwrap_or_default().split_once(' ').unwrap_or_default();
    if scheme.eq_ignore_ascii_case("bearer") { token.trim() } else { "" }
}

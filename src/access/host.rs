//! Under which names the server answers.
//!
//! A page on a name that its owner points first at their own server and then at ours (DNS rebinding) is, to the browser,
//! of the same origin as ours. What such a page cannot change is the name: it stands in `Host`. So the server answers
//! under names that nobody else can own: those of the loopback interface, addresses where it listens for others, and what
//! the operator names. The port makes no difference to this, and port forwarding changes it, so it is not looked at.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

const LONGEST_NAME: usize = 253;

/// A host, by name or by address; names are in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    Name(String),
    Address(IpAddr),
}

/// A host with the port that was named beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    pub host: Host,
    pub port: Option<u16>,
}

/// What an operator names with `--host`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostName {
    Any,
    One(Host),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a host: it must be a name or an address without scheme and port, or `*` for any")]
pub struct InvalidHostName(String);

/// The names that are answered to.
#[derive(Debug, Clone)]
pub struct HostPolicy {
    named: Vec<HostName>,
    public: Option<Host>,
    admits_addresses: bool,
}

impl HostPolicy {
    /// `public` is the host of the address that the operator gives out; `listens_for_others` when the server's own address is not
    /// one of the loopback interface.
    pub fn new(named: Vec<HostName>, public: Option<Host>, listens_for_others: bool) -> Self {
        Self { named, public, admits_addresses: listens_for_others }
    }

    pub fn admits(&self, host: &Host) -> bool {
        host.is_loopback()
            || (self.admits_addresses && matches!(host, Host::Address(_)))
            || self.public.as_ref() == Some(host)
            || self.named.iter().any(|named| matches!(named, HostName::Any) || *named == HostName::One(host.clone()))
    }

    /// Whether nobody beyond this machine can mean this server: then it may do without keys.
    pub fn is_loopback_only(&self) -> bool {
        let is_loopback = |named: &HostName| matches!(named, HostName::One(host) if host.is_loopback());
        !self.admits_addresses
            && self.public.as_ref().is_none_or(Host::is_loopback)
            && self.named.iter().all(is_loopback)
    }
}

impl Host {
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Name(name) => name == "localhost",
            Self::Address(address) => address.is_loopback(),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        if let Some(inner) = text.strip_prefix('[') {
            let address: Ipv6Addr = inner.strip_suffix(']')?.parse().ok()?;
            return Some(Self::Address(address.into()));
        }
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Some(Self::Address(address.into()));
        }
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        let is_name = (1..=LONGEST_NAME).contains(&text.len()) && text.bytes().all(is_allowed);
        is_name.then(|| Self::Name(text.to_ascii_lowercase()))
    }
}

impl Authority {
    /// `host` or `host:port`, as in the header `Host`.
    pub fn parse(text: &str) -> Option<Self> {
        let end_of_address = text.rfind(']').unwrap_or(0);
        let (host, port) = match text[end_of_address..].rfind(':') {
            Some(colon) => {
                let (host, port) = text.split_at(end_of_address + colon);
                let digits = &port[1..];
                if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                    return None;
                }
                (host, Some(digits.parse().ok()?))
            }
            None => (text, None),
        };
        Some(Self { host: Host::parse(host)?, port })
    }

    /// Whether both name the same place when this scheme's usual port may be left out.
    pub(super) fn is_same(&self, other: &Self, usual_port: u16) -> bool {
        self.host == other.host && self.port.unwrap_or(usual_port) == other.port.unwrap_or(usual_port)
    }
}

impl FromStr for HostName {
    type Err = InvalidHostName;

    fn from_str(text: &str) -> Result<Self, InvalidHostName> {
        if text == "*" {
            return Ok(Self::Any);
        }
        // An IPv6 address is bare on a command line and in brackets in a header.
        let address = text.parse().map(|address: IpAddr| Host::Address(address)).ok();
        let host = address.or_else(|| Host::parse(text)).map(Self::One);
        host.ok_or_else(|| InvalidHostName(text.chars().take(100).collect()))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => formatter.write_str(name),
            Self::Address(IpAddr::V4(address)) => address.fmt(formatter),
            Self::Address(IpAddr::V6(address)) => write!(formatter, "[{address}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(policy: &HostPolicy, host: &str) -> bool {
        Authority::parse(host).is_some_and(|authority| policy.admits(&authority.host))
    }

    #[test]
    fn a_loopback_server_answers_to_loopback_names_and_to_those_that_are_named() {
        let policy = HostPolicy::new(vec!["Pruner.example".parse().unwrap()], None, false);
        for host in ["localhost", "LOCALHOST:8080", "127.0.0.1:1", "127.8.8.8", "[::1]", "[::1]:80", "pruner.EXAMPLE:9"]
        {
            assert!(admits(&policy, host), "{host}");
        }
        for host in [
            "",
            "evil.test",
            "evil.test:8080",
            "localhost.evil.test",
            "127.0.0.1.evil.test",
            "evil.localhost",
            "10.0.0.1",
            "0.0.0.0",
            "[::]",
            "[::ffff:127.0.0.1]",
            "127.1",
            "2130706433",
            "localhost:",
            "localhost:8o",
            "localhost:65536",
            "user@localhost",
            "localhost/x",
            "localhost#",
            "::1",
            "[::1",
            "local host",
        ] {
            assert!(!admits(&policy, host), "{host}");
        }
    }

    #[test]
    fn a_server_for_others_answers_to_addresses_too_and_to_any_name_only_when_told() {
        let policy = HostPolicy::new(Vec::new(), None, true);
        assert!(admits(&policy, "10.0.0.1:80") && admits(&policy, "[2001:db8::1]"));
        assert!(!admits(&policy, "evil.test"));
        assert!(admits(&HostPolicy::new(vec![HostName::Any], None, true), "evil.test"));
    }

    #[test]
    fn a_server_that_is_named_to_others_is_not_for_this_machine_alone() {
        let is_loopback_only =
            |named: Vec<HostName>, public: Option<Host>| HostPolicy::new(named, public, false).is_loopback_only();
        let public = Host::parse("pruner.example").unwrap();
        assert!(is_loopback_only(Vec::new(), None));
        assert!(is_loopback_only(vec!["localhost".parse().unwrap()], None));
        assert!(!is_loopback_only(vec![HostName::Any], None));
        assert!(!is_loopback_only(vec!["pruner.example".parse().unwrap()], None));
        assert!(!is_loopback_only(Vec::new(), Some(public)));
    }

    #[test]
    fn what_is_no_host_cannot_be_named() {
        for text in ["", "http://a", "a:80", "a/b", "*.example"] {
            text.parse::<HostName>().unwrap_err();
        }
        assert_eq!("::1".parse(), Ok(HostName::One(Host::Address(Ipv6Addr::LOCALHOST.into()))));
    }
}

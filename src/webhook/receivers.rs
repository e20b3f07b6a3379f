//! Whom a server sends to: public addresses by https on port 443, and what the operator allows beside them.
//!
//! A URL is looked at when its job is submitted and again before every attempt. A name is looked at when it is resolved, by the
//! resolver of the client that connects ([`Receivers::admit`]): an answer of the name server that changes between two looks changes
//! nothing.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use ipnet::IpNet;
use url::{Host, Url};

use super::address::is_public;

/// What an operator allows with `--webhook-allow`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allow {
    /// Addresses, whatever name leads to them.
    Network(IpNet),
    /// A name, wherever it leads.
    Host(String),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` names no receiver: it must be a network such as 10.0.0.0/8, an address, or a host's name without scheme and port"
)]
pub struct InvalidAllow(String);

/// How far a request may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Public addresses and those that the operator allows.
    Anywhere,
    /// What the operator allows, since the request is not by https on port 443.
    AllowedAlone,
}

/// Why a server does not send to a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAllowed {
    #[error("it is not `https`")]
    Plain,
    #[error("its port is {0}")]
    Port(u16),
    #[error("its host is an address that is not public")]
    Address,
    #[error("it has no host")]
    NoHost,
}

/// Whom a server sends to.
#[derive(Debug, Clone, Default)]
pub struct Receivers {
    networks: Vec<IpNet>,
    hosts: Vec<String>,
}

impl Receivers {
    pub fn new(allowed: &[Allow]) -> Self {
        let mut receivers = Self::default();
        for allow in allowed {
            match allow {
                Allow::Network(network) => receivers.networks.push(*network),
                Allow::Host(name) => receivers.hosts.push(name.clone()),
            }
        }
        receivers
    }

    /// How far a request to this URL may reach.
    ///
    /// # Errors
    /// It may not be sent, wherever its name leads.
    pub fn check(&self, url: &Url) -> Result<Reach, NotAllowed> {
        let beyond_the_usual = match (url.scheme(), url.port_or_known_default()) {
            ("https", Some(443)) => None,
            ("https", port) => Some(NotAllowed::Port(port.unwrap_or(0))),
            _ => Some(NotAllowed::Plain),
        };
        let address = match url.host().ok_or(NotAllowed::NoHost)? {
            Host::Ipv4(address) => IpAddr::from(address),
            Host::Ipv6(address) => IpAddr::from(address),
            Host::Domain(name) => {
                // Where the name leads is not known yet: it may be into an allowed network.
                return match beyond_the_usual {
                    None => Ok(Reach::Anywhere),
                    Some(_) if self.names(name) || !self.networks.is_empty() => Ok(Reach::AllowedAlone),
                    Some(refused) => Err(refused),
                };
            }
        };
        match beyond_the_usual {
            _ if self.has(address) => Ok(Reach::AllowedAlone),
            Some(refused) => Err(refused),
            None if is_public(address) => Ok(Reach::Anywhere),
            None => Err(NotAllowed::Address),
        }
    }

    /// Those of a name's addresses that a request of this reach may connect to.
    pub fn admit(&self, name: &str, reach: Reach, addresses: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
        let is_named = self.names(name);
        let admits = |address: &SocketAddr| {
            let address = address.ip();
            is_named || self.has(address) || (reach == Reach::Anywhere && is_public(address))
        };
        addresses.filter(admits).collect()
    }

    fn names(&self, name: &str) -> bool {
        let name = name.strip_suffix('.').unwrap_or(name);
        self.hosts.iter().any(|host| host.eq_ignore_ascii_case(name))
    }

    fn has(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(&address))
    }
}

impl FromStr for Allow {
    type Err = InvalidAllow;

    fn from_str(text: &str) -> Result<Self, InvalidAllow> {
        if let Ok(network) = text.parse::<IpNet>() {
            return Ok(Self::Network(network));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Network(address.into()));
        }
        match Host::parse(text) {
            Ok(Host::Domain(name)) if !name.contains(['*', ',']) => Ok(Self::Host(name)),
            _ => Err(InvalidAllow(text.chars().take(200).collect())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receivers(allowed: &[&str]) -> Receivers {
        Receivers::new(&allowed.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>())
    }

    fn check(receivers: &Receivers, url: &str) -> Result<Reach, NotAllowed> {
        receivers.check(&Url::parse(url).unwrap())
    }

    fn admits(receivers: &Receivers, name: &str, reach: Reach, address: &str) -> bool {
        let address = SocketAddr::new(address.parse().unwrap(), 0);
        receivers.admit(name, reach, [address].into_iter()) == [address]
    }

    #[test]
    fn without_a_word_of_the_operator_only_public_https_is_sent_to() {
        let strict = receivers(&[]);
        for url in ["https://ci.example/", "https://ci.example:443/", "https://1.1.1.1/", "https://[2606:4700::1111]/"]
        {
            assert_eq!(check(&strict, url), Ok(Reach::Anywhere), "{url}");
        }
        assert_eq!(check(&strict, "http://ci.example/"), Err(NotAllowed::Plain));
        assert_eq!(check(&strict, "http://ci.example:443/"), Err(NotAllowed::Plain));
        assert_eq!(check(&strict, "https://ci.example:22/"), Err(NotAllowed::Port(22)));
        for host in [
            "127.0.0.1",
            "2130706433",
            "0x7f.1",
            "0177.0.0.1",
            "169.254.169.254",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[fd00:ec2::254]",
            "0.0.0.0",
        ] {
            assert_eq!(check(&strict, &format!("https://{host}/")), Err(NotAllowed::Address), "{host}");
        }
    }

    #[test]
    fn a_name_is_admitted_only_to_addresses_that_its_request_may_reach() {
        let strict = receivers(&[]);
        assert!(admits(&strict, "ci.example", Reach::Anywhere, "1.1.1.1"));
        for inside in ["127.0.0.1", "10.0.0.1", "::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "fe80::1"] {
            assert!(!admits(&strict, "ci.example", Reach::Anywhere, inside), "{inside}");
        }
        let of_both = ["10.0.0.1:0", "1.1.1.1:0"].map(|address| address.parse().unwrap());
        assert_eq!(strict.admit("ci.example", Reach::Anywhere, of_both.into_iter()), [of_both[1]]);
    }

    #[test]
    fn an_allowed_network_may_be_reached_by_any_name_and_scheme_and_nothing_else_may() {
        let receivers = receivers(&["10.1.0.0/16", "fd00::/8", "127.0.0.1"]);
        for url in ["http://10.1.2.3:8080/", "https://10.1.2.3/", "http://[fd00::1]/", "http://127.0.0.1:9/"] {
            assert_eq!(check(&receivers, url), Ok(Reach::AllowedAlone), "{url}");
        }
        assert_eq!(check(&receivers, "https://10.2.0.1/"), Err(NotAllowed::Address));
        assert_eq!(check(&receivers, "http://1.1.1.1/"), Err(NotAllowed::Plain));
        assert_eq!(check(&receivers, "http://127.0.0.2/"), Err(NotAllowed::Plain));

        assert_eq!(check(&receivers, "http://ci.internal:8080/"), Ok(Reach::AllowedAlone));
        assert!(admits(&receivers, "ci.internal", Reach::AllowedAlone, "10.1.2.3"));
        assert!(admits(&receivers, "ci.internal", Reach::Anywhere, "10.1.2.3"));
        assert!(
            !admits(&receivers, "ci.internal", Reach::AllowedAlone, "1.1.1.1"),
            "plain http reaches what is allowed alone"
        );
        assert!(!admits(&receivers, "ci.internal", Reach::Anywhere, "10.2.0.1"));
    }

    #[test]
    fn an_allowed_name_may_lead_anywhere_and_its_neighbours_may_not() {
        let receivers = receivers(&["CI.internal"]);
        assert_eq!(check(&receivers, "http://ci.internal:8080/"), Ok(Reach::AllowedAlone));
        assert_eq!(check(&receivers, "http://ci.internal./"), Ok(Reach::AllowedAlone));
        assert!(admits(&receivers, "ci.internal", Reach::AllowedAlone, "10.1.2.3"));
        assert_eq!(check(&receivers, "http://db.internal/"), Err(NotAllowed::Plain));
        assert_eq!(check(&receivers, "http://ci.internal.evil.example/"), Err(NotAllowed::Plain));
        assert!(!admits(&receivers, "db.internal", Reach::Anywhere, "10.1.2.3"));
    }

    #[test]
    fn what_names_no_receiver_is_refused_with_what_does() {
        for text in ["", "http://ci.internal", "ci.internal:80", "10.0.0.0/33", "*", "*.internal", "a b", "10.1"] {
            let error = text.parse::<Allow>().unwrap_err().to_string();
            assert!(error.contains(&format!("`{text}`")) && error.contains("10.0.0.0/8"), "{error}");
        }
    }
}

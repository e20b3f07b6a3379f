//! Tenants: whose things are whose.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

const LONGEST: usize = 63;

/// The name of a tenant. It is part of blobs' keys, so it holds nothing that a path could take for more than a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tenant(String);

/// A text that cannot name a tenant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` cannot name a tenant: it must be 1 to {LONGEST} of `a`-`z`, `0`-`9` and, inside, `-`")]
pub struct InvalidTenant(String);

impl Tenant {
    /// Whose everything is on a server without keys.
    pub fn of_nobody() -> Self {
        Self("default".to_owned())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tenant {
    type Err = InvalidTenant;

    fn from_str(text: &str) -> Result<Self, InvalidTenant> {
        let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_name = (1..=LONGEST).contains(&text.len())
            && text.bytes().all(is_allowed)
            && !text.starts_with('-')
            && !text.ends_with('-');
        match is_name {
            true => Ok(Self(text.to_owned())),
            false => Err(InvalidTenant(text.chars().take(100).collect())),
        }
    }
}

impl TryFrom<String> for Tenant {
    type Error = InvalidTenant;

    fn try_from(text: String) -> Result<Self, InvalidTenant> {
        text.parse()
    }
}

impl From<Tenant> for String {
    fn from(tenant: Tenant) -> String {
        tenant.0
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_cannot_be_named_by_a_path() {
        for name in ["default", "vision-2", "a"] {
            assert_eq!(name.parse::<Tenant>().unwrap().as_str(), name);
        }
        for name in ["", "..", "a/b", "A", "-a", "a-", "a_b", "ä", &"a".repeat(64)] {
            name.parse::<Tenant>().unwrap_err();
        }
    }
}

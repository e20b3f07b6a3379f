//! What a key is to be, before it is made.

use std::str::FromStr;

use time::{Duration, OffsetDateTime};

use super::{Scope, Tenant};

const LONGEST_NAME: usize = 100;
/// In days.
const LONGEST_LIFE: i64 = 3650;

/// What people call a key: 1 to 100 printable characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyName(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` cannot name a key: it must be 1 to {LONGEST_NAME} printable characters")]
pub struct InvalidKeyName(String);

impl KeyName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyName {
    type Err = InvalidKeyName;

    fn from_str(text: &str) -> Result<Self, InvalidKeyName> {
        let text = text.trim();
        let is_name = (1..=LONGEST_NAME).contains(&text.chars().count()) && !text.chars().any(char::is_control);
        match is_name {
            true => Ok(Self(text.to_owned())),
            false => Err(InvalidKeyName(text.chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect())),
        }
    }
}

/// How many days a key is good for: 1 to 3650.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime(Duration);

impl Lifetime {
    /// When a key that is made now is no longer good.
    pub fn end(self) -> OffsetDateTime {
        OffsetDateTime::now_utc() + self.0
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no lifetime: it must be a whole number of days from 1 to {LONGEST_LIFE}")]
pub struct InvalidLifetime(String);

impl FromStr for Lifetime {
    type Err = InvalidLifetime;

    fn from_str(text: &str) -> Result<Self, InvalidLifetime> {
        let days = text.parse().ok().filter(|days| (1..=LONGEST_LIFE).contains(days));
        let invalid = || InvalidLifetime(text.chars().take(100).collect());
        days.map(|days| Self(Duration::days(days))).ok_or_else(invalid)
    }
}

/// A key that is to be made.
#[derive(Debug, Clone)]
pub struct NewKey {
    pub name: KeyName,
    pub tenant: Tenant,
    pub scope: Scope,
    /// For ever when `None`.
    pub lifetime: Option<Lifetime>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_lifetimes_are_bounded() {
        assert_eq!(" ci ".parse::<KeyName>().unwrap().as_str(), "ci");
        for name in ["", "  ", "a\nb", &"x".repeat(101)] {
            name.parse::<KeyName>().unwrap_err();
        }
        for days in ["0", "-1", "3651", "1.5", "soon"] {
            days.parse::<Lifetime>().unwrap_err();
        }
        "3650".parse::<Lifetime>().unwrap();
    }
}

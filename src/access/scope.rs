//! Scopes: what a caller may do.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a key allows; each scope includes those before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// See what the tenant has, and download it.
    Read,
    /// Upload, submit, cancel, delete.
    #[default]
    Submit,
    /// Make and revoke keys of the tenant.
    Admin,
}

/// A text that is no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a scope: it must be `read`, `submit` or `admin`")]
pub struct InvalidScope(String);

impl Scope {
    pub const ALL: [Self; 3] = [Self::Read, Self::Submit, Self::Admin];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Submit => "submit",
            Self::Admin => "admin",
        }
    }

    pub fn includes(self, other: Self) -> bool {
        self >= other
    }
}

impl FromStr for Scope {
    type Err = InvalidScope;

    fn from_str(text: &str) -> Result<Self, InvalidScope> {
        let scope = Self::ALL.into_iter().find(|scope| scope.as_str() == text);
        scope.ok_or_else(|| InvalidScope(text.chars().take(100).collect()))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_includes_those_before_it_and_no_other() {
        assert!(Scope::Admin.includes(Scope::Read) && Scope::Admin.includes(Scope::Submit));
        assert!(Scope::Submit.includes(Scope::Submit) && !Scope::Submit.includes(Scope::Admin));
        assert!(!Scope::Read.includes(Scope::Submit));
    }
}

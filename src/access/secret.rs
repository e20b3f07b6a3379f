//! Secrets that callers hold: keys, and the tokens of browser sessions.
//!
//! A secret is 32 bytes from the system's random numbers, written as hexadecimal digits behind a prefix by which people
//! and scanners of repositories know it, and before eight digits of checksum, by which a mistyped one is known. It is
//! shown once. The database holds its SHA-256 and finds it by that: with 256 random bits neither salt nor slow hash adds
//! anything, and how long the look-up takes tells nothing about a secret that differs.

use std::fmt;

use crate::digest::Sha256;

const BYTES: usize = 32;
const CHECKSUM_DIGITS: usize = 8;

/// What a secret is for; the text before its digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretKind {
    Key,
    Session,
}

impl SecretKind {
    fn prefix(self) -> &'static str {
        match self {
            Self::Key => "sec_",
            Self::Session => "ses_",
        }
    }
}

/// A secret in full. It shows itself in answers only, never in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn generate(kind: SecretKind) -> Self {
        let mut bytes = [0; BYTES];
        getrandom::fill(&mut bytes).expect("the system has random numbers");
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let checksum = checksum(kind, &digits);
        Self(format!("{}{digits}{checksum}", kind.prefix()))
    }

    /// A secret that a caller sent; `None` when it cannot be one.
    pub fn parse(kind: SecretKind, text: &str) -> Option<Self> {
        let rest = text.strip_prefix(kind.prefix())?;
        if rest.len() != 2 * BYTES + CHECKSUM_DIGITS || !rest.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let (digits, given) = rest.split_at(2 * BYTES);
        (given == checksum(kind, digits)).then(|| Self(text.to_owned()))
    }

    /// What the database knows it by.
    pub fn sha256(&self) -> Sha256 {
        Sha256::of(self.0.as_bytes())
    }

    /// A token that only those can know who know this secret, and that does not tell it.
    pub fn derive(&self, purpose: &str) -> String {
        Sha256::of(format!("{purpose}\n{}", self.0).as_bytes()).to_string()
    }

    /// The secret itself, for the one to whom it belongs.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

fn checksum(kind: SecretKind, digits: &str) -> String {
    let digest = Sha256::of(format!("{}{digits}", kind.prefix()).as_bytes()).to_string();
    digest[..CHECKSUM_DIGITS].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_reads_back_and_a_mistyped_one_does_not() {
        let secret = Secret::generate(SecretKind::Key);
        let text = secret.reveal();
        assert_eq!(Secret::parse(SecretKind::Key, text), Some(secret.clone()));
        let mistyped = text.replacen(&text[10..11], if &text[10..11] == "0" { "1" } else { "0" }, 1);
        for other in [&mistyped, &text[..text.len() - 1], &format!("{text}0"), "", "sec_", "sec_ä"] {
            assert_eq!(Secret::parse(SecretKind::Key, other), None, "{other}");
        }
        assert_eq!(Secret::parse(SecretKind::Session, text), None, "a key is no session");
    }

    #[test]
    fn no_two_secrets_are_the_same_and_none_shows_itself_in_a_log() {
        let (first, second) = (Secret::generate(SecretKind::Key), Secret::generate(SecretKind::Key));
        assert_ne!(first, second);
        assert!(!format!("{first:?}").contains(&first.reveal()[8..16]));
    }
}

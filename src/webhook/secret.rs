//! Signing by Standard Webhooks: HMAC-SHA256 over id, time and body.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

const PREFIX: &str = "whsec_";
const BYTES: usize = 32;

/// A secret that sender and receiver share, `whsec_` and 32 random bytes in base64. It shows itself in answers only, never in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningSecret(String);

impl SigningSecret {
    pub fn generate() -> Self {
        let mut bytes = [0; BYTES];
        getrandom::fill(&mut bytes).expect("the system has random numbers");
        Self(format!("{PREFIX}{}", STANDARD.encode(bytes)))
    }

    /// A secret as it is written; `None` when it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let key = STANDARD.decode(text.strip_prefix(PREFIX)?).ok()?;
        (!key.is_empty()).then(|| Self(text.to_owned()))
    }

    /// The secret itself, for the one to whom it belongs.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The signature of what is sent at a time, seconds since 1970: `v1,` and the digest in base64.
    pub fn sign(&self, id: &str, timestamp: i64, body: &str) -> String {
        let key = STANDARD.decode(&self.0[PREFIX.len()..]).expect("it was made or parsed as base64");
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes keys of any length");
        mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SigningSecret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector of the specification's own libraries.
    #[test]
    fn the_published_message_has_the_published_signature() {
        let secret = SigningSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, "{\"test\": 2432232314}");
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_new_secret_reads_back_differs_from_others_and_does_not_show_itself_in_a_log() {
        let (secret, other) = (SigningSecret::generate(), SigningSecret::generate());
        assert_eq!(SigningSecret::parse(secret.reveal()), Some(secret.clone()));
        assert_ne!(secret, other);
        assert!(!format!("{secret:?}").contains(&secret.reveal()[6..16]));
        for text in ["", "whsec_", "whsec_%", &secret.reveal()[6..]] {
            assert_eq!(SigningSecret::parse(text), None, "{text}");
        }
    }
}

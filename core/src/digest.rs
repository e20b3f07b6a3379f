//! Digests of values, under which results are kept.

use serde::Serialize;
use sha2::{Digest, Sha256};

/// SHA-256 of a value's JSON, hexadecimal.
///
/// # Panics
/// The value has no JSON: a map with keys that are not texts, or a `Serialize` that fails.
pub fn digest(value: &impl Serialize) -> String {
    let json = serde_json::to_vec(value).expect("plain data serialises");
    Sha256::digest(&json).iter().map(|byte| format!("{byte:02x}")).collect()
}

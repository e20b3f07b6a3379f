#![no_main]
//! The source text of a network.

use libfuzzer_sys::fuzz_target;
use secateur_fuzz::{network_with, preflight};

fuzz_target!(|source: &[u8]| {
    let _ = preflight(&network_with("code/__torch__.py", source));
});

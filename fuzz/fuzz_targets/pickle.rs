#![no_main]
//! One pickle, as each of those that the loader reads.

use libfuzzer_sys::fuzz_target;
use secateur_fuzz::{network_with, preflight};

fuzz_target!(|pickle: &[u8]| {
    for record in ["data.pkl", "constants.pkl", "traced_inputs.pkl"] {
        let _ = preflight(&network_with(record, pickle));
    }
});

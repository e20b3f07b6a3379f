#![no_main]
//! A whole upload, as it is.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    let _ = secateur_fuzz::preflight(file);
});

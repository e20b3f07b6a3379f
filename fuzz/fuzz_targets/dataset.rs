#![no_main]
//! A whole data set, `.npz` or `.safetensors`: what passes is loaded.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    secateur_fuzz::open_dataset(file);
});

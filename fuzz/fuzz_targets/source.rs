#![no_main]
//! A whole data set in a format that is converted: zip, tar, packed tar, Parquet.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    secateur_fuzz::recognise_source(file);
});

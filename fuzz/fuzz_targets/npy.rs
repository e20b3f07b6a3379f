#![no_main]
//! The arrays of an `.npz`, each with any header, in a zip that is right.

use libfuzzer_sys::fuzz_target;
use secateur_fuzz::{open_dataset, zip};

fuzz_target!(|arrays: (&[u8], &[u8])| {
    open_dataset(&zip(&[("x.npy".to_owned(), arrays.0), ("y.npy".to_owned(), arrays.1)]));
});

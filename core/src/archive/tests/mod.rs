//! Behaviour of the pre-flight, by what is wrong with an archive.

mod accepted;
mod container;
mod contents;
mod formats;
mod hostile_bytes;
mod names;
mod pickles;
mod records;

use std::io::Cursor;

use super::{ArchiveSummary, preflight_reader};
use crate::rejection::{Code, Rejection};

fn preflight_bytes(bytes: &[u8]) -> Result<ArchiveSummary, Rejection> {
    preflight_reader(&mut Cursor::new(bytes))
}

/// The archive is refused with this code, and the user reads these words.
#[track_caller]
fn assert_refused(bytes: &[u8], code: Code, words: &str) -> Rejection {
    let rejection = preflight_bytes(bytes).expect_err("the archive must be refused");
    assert_eq!(rejection.code, code, "{rejection:?}");
    assert!(rejection.detail.contains(words), "{rejection:?} does not say {words:?}");
    rejection.assert_sentences();
    rejection
}

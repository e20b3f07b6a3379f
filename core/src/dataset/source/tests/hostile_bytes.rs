use proptest::prelude::*;

use super::fixture::{Scratch, committed, zip};

/// One small file of each container.
fn files() -> Vec<(&'static str, Vec<u8>)> {
    let committed =
        ["cifar-10.tar.gz", "cifar-100.tar.gz", "tokens.parquet", "webdataset.tar", "rates.tar", "mnist.zip"]
            .map(|name| (name, committed(name)));
    let folders = zip(&["train/", "train/a/1.jpg", "train/b/1.jpg", "val/a/1.jpg"]);
    committed.into_iter().chain([("folders", folders)]).collect()
}

#[test]
fn a_file_cut_off_at_any_byte_never_panics() {
    let scratch = Scratch::new();
    for (_, bytes) in files() {
        for length in 0..bytes.len() {
            let _ = scratch.recognise(&bytes[..length]);
        }
    }
}

/// A tar may end without its empty blocks, and nothing tells that members are missing behind the last one that is whole.
#[test]
fn a_file_without_its_end_is_refused() {
    let scratch = Scratch::new();
    for (name, bytes) in files() {
        if name.ends_with(".tar") {
            continue;
        }
        for cut in 1..64 {
            let recognised = scratch.recognise(&bytes[..bytes.len() - cut]);
            assert!(!matches!(recognised, Ok(Some(_))), "{name} without its last {cut} bytes");
        }
    }
}

#[test]
fn a_member_that_is_cut_off_is_refused() {
    let webdataset = committed("webdataset.tar");
    let scratch = Scratch::new();
    let rejection = |length: usize| scratch.recognise(&webdataset[..length]).unwrap_err().detail;
    assert!(rejection(3700).contains("ends before its member `0000.jpg` does: it was cut off"), "{}", rejection(3700));
    assert!(rejection(700).contains("the records of a member that is missing"), "{}", rejection(700));
}

proptest! {
    #[test]
    fn changed_bytes_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let scratch = Scratch::new();
        for (_, mut bytes) in files() {
            for (index, byte) in &changes {
                let position = index.index(bytes.len());
                bytes[position] = *byte;
            }
            let _ = scratch.recognise(&bytes);
        }
    }

    #[test]
    fn random_footers_of_tables_never_panic(footer in prop::collection::vec(any::<u8>(), 0..200)) {
        let length = u32::try_from(footer.len()).unwrap().to_le_bytes();
        let _ = Scratch::new().recognise(&[b"PAR1", &footer[..], &length, b"PAR1"].concat());
    }
}

use std::io::Cursor;

use proptest::prelude::*;

use super::super::fixture::{ArchiveFixture, PickleWriter};
use super::super::traced_input_shapes_reader;
use super::preflight_bytes;

#[test]
fn an_archive_cut_off_at_any_byte_is_refused() {
    let bytes = ArchiveFixture::network().bytes();
    for length in 0..bytes.len() {
        preflight_bytes(&bytes[..length]).expect_err("a file that was cut off is refused");
    }
}

#[test]
fn a_module_pickle_cut_off_at_any_byte_is_refused() {
    let archive = ArchiveFixture::network();
    let pickle = archive.0.iter().find(|entry| entry.name == b"net/data.pkl").unwrap().data.clone();
    for length in 0..pickle.len() {
        let archive = archive.clone().with("data.pkl", &pickle[..length]);
        preflight_bytes(&archive.bytes()).expect_err("a pickle that was cut off is refused");
    }
}

/// Opcodes that the reader knows, so that random pickles get somewhere.
fn opcode() -> impl Strategy<Value = Vec<u8>> {
    let plain = prop::sample::select(b"(N\x88\x89]})t\x85\x86\x87aesu\x81bRQ.".to_vec()).prop_map(|byte| vec![byte]);
    let number = any::<u8>().prop_map(|byte| vec![b'K', byte]);
    let memo = (prop::sample::select(b"qh".to_vec()), 0..6u8).prop_map(|(opcode, index)| vec![opcode, index]);
    let global = prop::sample::select(vec![
        "ctorch._utils\n_rebuild_tensor_v2\n",
        "ctorch\nFloatStorage\n",
        "ccollections\nOrderedDict\n",
        "ctorch.jit._pickle\nrestore_type_tag\n",
        "ctorch.jit._pickle\nbuild_intlist\n",
        "c__torch__\nNet\n",
        "X\x07\x00\x00\x00storage",
    ])
    .prop_map(|text| text.as_bytes().to_vec());
    prop_oneof![4 => plain, 2 => number, 2 => memo, 2 => global]
}

proptest! {
    #[test]
    fn changed_bytes_never_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut bytes = ArchiveFixture::network().bytes();
        for (index, byte) in changes {
            let position = index.index(bytes.len());
            bytes[position] = byte;
        }
        let _ = preflight_bytes(&bytes);
    }

    #[test]
    fn random_bytes_never_panic_and_never_pass(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(preflight_bytes(&bytes).is_err());
    }

    #[test]
    fn random_pickles_never_panic(opcodes in prop::collection::vec(opcode(), 0..60)) {
        let pickle = PickleWriter::new().op(&opcodes.concat()).end();
        let archive = ArchiveFixture::network().with("data.pkl", &pickle).with("traced_inputs.pkl", &pickle);
        let _ = preflight_bytes(&archive.bytes());
        let _ = traced_input_shapes_reader(&mut Cursor::new(archive.bytes()));
    }

    #[test]
    fn random_source_text_never_panics(source in "[ a-c.()\\[\\]{},:=+\"'#\\\\\n0-9eops-]{0,200}") {
        let _ = preflight_bytes(&ArchiveFixture::network().with_source(&source).bytes());
    }
}

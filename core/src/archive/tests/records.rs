use std::io::Write;

use super::super::fixture::{ArchiveFixture, PickleWriter, RawEntry, TensorFixture};
use super::{assert_refused, preflight_bytes};
use crate::rejection::Code;
use crate::untrusted::zip::{Directory, DirectoryLimits};

fn deflated(name: &str, data: &[u8]) -> RawEntry {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(data).expect("writing to memory does not fail");
    let packed = encoder.finish().expect("writing to memory does not fail");
    RawEntry { method: 8, declared_size: Some(data.len() as u32), ..RawEntry::new(name, &packed) }
}

fn empty_tuple() -> Vec<u8> {
    PickleWriter::new().op(b")").end()
}

#[test]
fn a_weight_of_which_one_bit_was_flipped_is_refused_by_its_record() {
    let mut bytes = ArchiveFixture::network().bytes();
    // The first record is `data/0`; its header has 30 bytes and its name 10.
    bytes[45] ^= 0x10;
    let rejection = assert_refused(&bytes, Code::DamagedArchive, "checksum");
    assert_eq!(rejection.node.as_deref(), Some("data/0"));
    assert!(rejection.hint.unwrap().contains("Upload the file again"));
}

#[test]
fn every_record_is_compared_with_its_checksum() {
    let network = ArchiveFixture::network().with("extra/notes.txt", b"mine").with("traced_inputs/0", b"");
    for entry in &network.0 {
        let name = std::str::from_utf8(&entry.name).unwrap().strip_prefix("net/").unwrap();
        let archive = network.clone().changing(name, |entry| entry.crc32 = Some(0x1234_5678));
        let rejection = assert_refused(&archive.bytes(), Code::DamagedArchive, "12345678");
        assert_eq!(rejection.node.as_deref(), Some(name));
    }
}

#[test]
fn compressed_source_text_is_compared_with_its_checksum_unpacked() {
    let source = deflated("net/code/__torch__/other.py", b"class A:\n  pass\n");
    preflight_bytes(&ArchiveFixture::network().adding(source.clone()).bytes()).unwrap();
    let wrong = RawEntry { crc32: Some(1), ..source };
    assert_refused(&ArchiveFixture::network().adding(wrong).bytes(), Code::DamagedArchive, "checksum");
}

#[test]
fn every_kind_of_record_that_pytorch_writes_passes() {
    let mut archive = ArchiveFixture::network();
    for name in
        ["extra/producer_info.json", ".data/serialization_id", ".format_version", ".storage_alignment", "bytecode/0"]
    {
        archive = archive.with(name, b"1");
    }
    for name in ["bytecode.pkl", "mobile_debug_handles.pkl", "callstack_debug_map.pkl", "delegated_backends.debug_pkl"]
    {
        archive = archive.with(name, &empty_tuple());
    }
    archive = archive
        .adding(deflated("net/code/__torch__.py.debug_pkl", &empty_tuple()))
        .adding(deflated("net/extra/config.pbtxt", b"text"));
    preflight_bytes(&archive.bytes()).unwrap();
}

#[test]
fn a_record_of_an_unknown_name_is_refused_by_it() {
    for name in [
        "attributes.pkl",
        "model.txt",
        "code/__torch__/evil.PY",
        "code/__torch__/evil.pyc",
        "code",
        "CODE/__torch__/evil.py",
        "data2/0",
        ".data/ts_code/0/data.pkl",
        ".data/anything",
    ] {
        let archive = ArchiveFixture::network().with(name, &empty_tuple());
        let rejection = assert_refused(&archive.bytes(), Code::UnsafeArchive, "is none that `torch.jit.save` writes");
        assert_eq!(rejection.node.as_deref(), Some(name));
    }
}

#[test]
fn pickles_and_tensors_are_never_compressed() {
    for name in ["net/traced_inputs.pkl", "net/bytecode.pkl", "net/data/1", "net/.data/serialization_id"] {
        let archive = ArchiveFixture::network().adding(deflated(name, &empty_tuple()));
        assert_refused(&archive.bytes(), Code::UnsafeArchive, "is compressed");
    }
}

#[test]
fn compressed_records_that_unpack_to_too_much_together_are_refused_before_they_are_unpacked() {
    // Each says that it has 15 MiB, and nobody looks.
    let claim =
        |index: usize| RawEntry { declared_size: Some(15 << 20), ..deflated(&format!("net/extra/{index}"), b"short") };
    let archive = (0..5).fold(ArchiveFixture::network(), |archive, index| archive.adding(claim(index)));
    assert_refused(&archive.bytes(), Code::UnsafeArchive, "The compressed records unpack to");
}

#[test]
fn every_pickle_is_read_like_the_module() {
    let evil = PickleWriter::new().global("posix", "system").text("id").op(b"\x85R").end();
    for name in [
        "data.pkl",
        "constants.pkl",
        "traced_inputs.pkl",
        "bytecode.pkl",
        "mobile_debug_handles.pkl",
        "callstack_debug_map.pkl",
        "delegated_backends.debug_pkl",
        "code/__torch__.py.debug_pkl",
    ] {
        let rejection =
            assert_refused(&ArchiveFixture::network().with(name, &evil).bytes(), Code::UnsafeArchive, "`posix.system`");
        assert_eq!(rejection.node.as_deref(), Some(name));
    }
}

fn traced(input: &TensorFixture) -> ArchiveFixture {
    let pickle = PickleWriter::new().op(b"}(").text("forward").op(b"](").tensor(input).op(b"eu").end();
    ArchiveFixture::network().with("traced_inputs.pkl", &pickle)
}

#[test]
fn the_example_of_a_trace_passes_with_any_type_and_without_its_elements() {
    for storage_type in ["FloatStorage", "DoubleStorage", "HalfStorage", "LongStorage"] {
        let input = TensorFixture { storage_type, ..TensorFixture::weight() };
        let summary = preflight_bytes(&traced(&input).with("traced_inputs/0", b"").bytes()).unwrap();
        assert!(summary.traced_inputs);
        // The example is no weight.
        assert_eq!((summary.tensors, summary.dtypes.len()), (1, 1));
    }
}

#[test]
fn the_example_of_a_trace_must_fit_its_records_as_weights_must() {
    let input = TensorFixture::weight();
    assert_refused(&traced(&input).bytes(), Code::DamagedArchive, "`traced_inputs/0`");
    assert_refused(&traced(&input).with("traced_inputs/0", &[0; 23]).bytes(), Code::DamagedArchive, "has 23 bytes");
    let outside = TensorFixture { sizes: vec![7], strides: vec![1], ..input };
    assert_refused(&traced(&outside).with("traced_inputs/0", b"").bytes(), Code::DamagedArchive, "element 7");
    let list = ArchiveFixture::network().with("traced_inputs.pkl", &PickleWriter::new().op(b"]").end());
    assert_refused(&list.bytes(), Code::DamagedArchive, "does not hold a dictionary");
}

#[test]
fn records_are_found_by_their_names_and_keep_the_order_of_the_file() {
    let bytes = ArchiveFixture::network().bytes();
    let limits = DirectoryLimits { entries: 100, directory: 10_000 };
    let directory = Directory::read(&mut std::io::Cursor::new(bytes), limits).unwrap();
    let names: Vec<&str> = directory.entries().map(|entry| entry.name).collect();
    assert_eq!(names.first(), Some(&"net/data/0"));
    assert_eq!(names.len(), ArchiveFixture::network().0.len());
}

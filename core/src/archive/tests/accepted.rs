use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use super::super::fixture::{ArchiveFixture, PickleWriter, TensorFixture};
use super::super::{preflight, traced_input_shapes, traced_input_shapes_reader};
use super::{assert_refused, preflight_bytes};
use crate::rejection::Code;

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name)
}

fn deflate(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(data).expect("writing to memory does not fail");
    encoder.finish().expect("writing to memory does not fail")
}

#[test]
fn a_small_network_passes_and_is_summed_up() {
    let summary = preflight_bytes(&ArchiveFixture::network().bytes()).unwrap();
    assert_eq!(summary.root, "net");
    assert_eq!((summary.tensors, summary.storage_bytes, summary.code_files), (1, 24, 1));
    assert_eq!(summary.dtypes, [("float32".to_owned(), 1)].into());
    assert!(!summary.traced_inputs);
    assert_eq!(summary.device_tensors, 0);
}

#[test]
fn the_traced_example_network_passes_with_the_shapes_of_its_trace() {
    let summary = preflight(&example("resnet20-digits.pt")).unwrap();
    assert_eq!(summary.root, "resnet20-digits");
    assert!(summary.traced_inputs);
    assert!(summary.tensors > 100 && summary.dtypes["float32"] > 60, "{summary:?}");
    assert_eq!(traced_input_shapes(&example("resnet20-digits.pt")), Some(vec![vec![2, 1, 8, 8]]));
}

#[test]
fn the_scripted_example_network_passes_without_recorded_shapes() {
    let summary = preflight(&example("vgg-digits.pt")).unwrap();
    assert_eq!(summary.root, "vgg-digits");
    assert!(!summary.traced_inputs);
    assert_eq!(traced_input_shapes(&example("vgg-digits.pt")), None);
}

#[test]
fn every_proper_prefix_of_the_end_of_an_example_is_refused() {
    let bytes = std::fs::read(example("vgg-digits.pt")).unwrap();
    let directory_and_end = 20_000;
    for length in (bytes.len() - directory_and_end..bytes.len()).step_by(97) {
        preflight_bytes(&bytes[..length]).expect_err("a file that was cut off is refused");
    }
}

#[test]
fn weights_saved_from_a_gpu_pass_and_are_counted() {
    let weight = TensorFixture { device: "cuda:0", ..TensorFixture::weight() };
    let summary = preflight_bytes(&ArchiveFixture::with_weight(&weight).bytes()).unwrap();
    assert_eq!(summary.device_tensors, 1);
}

#[test]
fn compressed_source_text_passes() {
    let archive = ArchiveFixture::network().changing("code/__torch__.py", |entry| {
        entry.declared_size = Some(entry.data.len() as u32);
        entry.data = deflate(&entry.data);
        entry.method = 8;
    });
    preflight_bytes(&archive.bytes()).unwrap();
}

#[test]
fn compressed_source_text_that_unpacks_to_more_than_its_header_says_is_refused() {
    let bomb = ArchiveFixture::network().changing("code/__torch__.py", |entry| {
        entry.declared_size = Some(100);
        entry.data = deflate(&vec![b'#'; 1 << 20]);
        entry.method = 8;
    });
    assert_refused(&bomb.bytes(), Code::DamagedArchive, "does not unpack to the 100 bytes");
}

#[test]
fn a_transposed_view_and_a_broadcast_tensor_pass() {
    for (sizes, strides) in
        [(vec![3, 2], vec![1, 3]), (vec![100, 6], vec![0, 1]), (vec![], vec![]), (vec![0, 4], vec![4, 1])]
    {
        let weight = TensorFixture { sizes, strides, ..TensorFixture::weight() };
        preflight_bytes(&ArchiveFixture::with_weight(&weight).bytes()).unwrap();
    }
}

#[test]
fn a_float64_constant_of_one_element_passes_since_tracing_writes_python_numbers_so() {
    let number = TensorFixture {
        storage_type: "DoubleStorage",
        elements: 1,
        sizes: vec![],
        strides: vec![],
        ..TensorFixture::weight()
    };
    let constants = PickleWriter::new().op(b"(").tensor(&number).op(b"t").end();
    let archive = ArchiveFixture::network().with("constants.pkl", &constants).with("constants/0", &[0; 8]);
    let summary = preflight_bytes(&archive.bytes()).unwrap();
    assert_eq!(summary.dtypes["float64"], 1);
}

#[test]
fn lists_dictionaries_enumerations_and_numbers_pass_as_attributes() {
    let attributes = PickleWriter::new()
        .text("sizes")
        .global("torch.jit._pickle", "build_intlist")
        .op(b"(](K\x01M\x00\x02J\xff\xff\xff\xffetR")
        .text("table")
        .global("torch.jit._pickle", "restore_type_tag")
        .op(b"}(")
        .text("a")
        .op(b"G\x3f\xf0\x00\x00\x00\x00\x00\x00u")
        .text("Dict[str, float]")
        .op(b"\x86R")
        .text("color")
        .global("__torch__", "Color")
        .op(b"K\x01R")
        .text("number")
        .global("builtins", "complex")
        .op(b"G\x00\x00\x00\x00\x00\x00\x00\x00G\x00\x00\x00\x00\x00\x00\x00\x00\x86R")
        .text("device")
        .global("torch", "device")
        .text("cpu")
        .op(b"\x85R");
    preflight_bytes(&ArchiveFixture::with_module(attributes).bytes()).unwrap();
}

#[test]
fn shapes_of_a_trace_are_none_when_an_input_is_no_tensor() {
    let trace = |inputs: PickleWriter| {
        let pickle = PickleWriter::new().op(b"}(").text("forward").op(b"](").op(&inputs.0[2..]).op(b"eu").end();
        let archive = ArchiveFixture::network().with("traced_inputs.pkl", &pickle);
        traced_input_shapes_reader(&mut Cursor::new(archive.bytes()))
    };
    let input = TensorFixture { elements: 384, sizes: vec![2, 192], strides: vec![192, 1], ..TensorFixture::weight() };
    assert_eq!(trace(PickleWriter::new().tensor(&input)), Some(vec![vec![2, 192]]));
    assert_eq!(trace(PickleWriter::new().tensor(&input).tensor(&input)), Some(vec![vec![2, 192]; 2]));
    assert_eq!(trace(PickleWriter::new().tensor(&input).op(b"}")), None);
    assert_eq!(trace(PickleWriter::new()), None);
}

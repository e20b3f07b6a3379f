use super::super::fixture::{ArchiveFixture, PickleWriter, TensorFixture};
use super::{assert_refused, preflight_bytes};
use crate::rejection::{Code, Rejection};
use crate::untrusted::pickle;

fn refuse_pickle(data: &[u8], code: Code, words: &str) -> Rejection {
    assert_refused(&ArchiveFixture::network().with("data.pkl", data).bytes(), code, words)
}

fn refuse_attribute(value: impl FnOnce(PickleWriter) -> PickleWriter, code: Code, words: &str) -> Rejection {
    let attributes = value(PickleWriter::new().text("attribute"));
    assert_refused(&ArchiveFixture::with_module(attributes).bytes(), code, words)
}

fn refuse_weight(weight: &TensorFixture, code: Code, words: &str) -> Rejection {
    let rejection = assert_refused(&ArchiveFixture::with_weight(weight).bytes(), code, words);
    assert_eq!(rejection.node.as_deref(), Some("weight"), "{rejection:?}");
    rejection
}

#[test]
fn a_name_that_runs_code_is_refused() {
    refuse_attribute(
        |pickle| pickle.global("posix", "system").text("id").op(b"\x85R"),
        Code::UnsafeArchive,
        "`posix.system`",
    );
    refuse_attribute(
        |pickle| pickle.global("torch.jit._pickle", "build_tensor_from_id"),
        Code::UnsafeArchive,
        "build_tensor_from_id",
    );
}

#[test]
fn an_opcode_outside_the_list_is_refused() {
    // INST, OBJ, STACK_GLOBAL, EXT1, PERSID, POP, DUP, LONG4, FRAME.
    for opcode in [b'i', b'o', 0x93, 0x82, b'P', b'0', b'2', 0x8b, 0x95] {
        refuse_attribute(|pickle| pickle.op(&[opcode]), Code::UnsafeArchive, &format!("opcode {opcode:#04x}"));
    }
}

#[test]
fn a_pickle_that_is_no_module_is_refused() {
    refuse_pickle(&PickleWriter::new().op(b"}").end(), Code::DamagedArchive, "TorchScript module");
    refuse_pickle(b"\x80\x04N.", Code::DamagedArchive, "protocol 2");
    refuse_pickle(b"", Code::DamagedArchive, "protocol 2");
    refuse_pickle(b"\x80\x02N.N", Code::DamagedArchive, "after its end");
    refuse_pickle(b"\x80\x02NN.", Code::DamagedArchive, "more or less than one value");
    refuse_pickle(b"\x80\x02", Code::DamagedArchive, "cut off");
}

#[test]
fn a_memo_entry_out_of_order_is_refused_since_the_loader_allocates_up_to_it() {
    refuse_attribute(|pickle| pickle.op(b"Nr\xff\xff\xff\xff"), Code::UnsafeArchive, "memo entry 4294967295");
    refuse_attribute(|pickle| pickle.op(b"h\x07"), Code::DamagedArchive, "memo entry 7");
}

#[test]
fn a_memo_bomb_is_refused() {
    // Every level holds the one before ten times.
    let bomb = (0..12u8).fold(PickleWriter::new().text("attribute").op(b"]q\x00"), |pickle, level| {
        let ten = [b'h', level].repeat(10);
        pickle.op(b"](").op(&ten).op(b"e").op(&[b'q', level + 1])
    });
    // The values left on the stack are no module, but the bomb is found first.
    assert_refused(&ArchiveFixture::with_module(bomb).bytes(), Code::UnsafeArchive, "again and again");
}

#[test]
fn a_value_that_contains_itself_is_refused() {
    refuse_attribute(|pickle| pickle.op(b"]q\x00h\x00a"), Code::UnsafeArchive, "already in use");
    refuse_attribute(|pickle| pickle.op(b"}q\x00(NNu"), Code::UnsafeArchive, "already in use");
}

#[test]
fn values_nested_too_deep_are_refused() {
    let depth = usize::from(pickle::MAX_DEPTH) + 1;
    refuse_attribute(
        |pickle| pickle.op(&b"](".repeat(depth)).op(&b"e".repeat(depth)),
        Code::UnsafeArchive,
        "more than 200 deep",
    );
    refuse_attribute(|pickle| pickle.op(&b"(".repeat(2000)), Code::UnsafeArchive, "more containers at once");
}

#[test]
fn a_pickle_with_too_many_operations_is_refused() {
    let numbers = b"N".repeat(pickle::MAX_OPERATIONS as usize + 1);
    refuse_pickle(&PickleWriter::new().op(&numbers).end(), Code::UnsafeArchive, "8000000 operations");
}

#[test]
fn a_stack_that_runs_empty_is_refused() {
    for opcodes in [&b"t"[..], b"a", b"s", b"u", b"e", b"\x81", b"b", b"R", b"Q", b"q\x00", b"\x87", b"(a"] {
        assert!(matches!(
            preflight_bytes(
                &ArchiveFixture::network().with("data.pkl", &PickleWriter::new().op(opcodes).end()).bytes()
            ),
            Err(Rejection { code: Code::DamagedArchive, .. })
        ));
    }
}

#[test]
fn an_object_state_that_only_setstate_reads_is_refused() {
    let data = PickleWriter::new().global("__torch__", "Net").op(b")\x81)b").end();
    refuse_pickle(&data, Code::UnsafeArchive, "no dictionary");
}

#[test]
fn custom_classes_are_refused_in_pickles_type_tags_and_source_text() {
    refuse_attribute(
        |pickle| pickle.global("__torch__.torch.classes.mine", "Thing"),
        Code::UnsafeArchive,
        "custom C++ class",
    );
    refuse_attribute(
        |pickle| {
            pickle
                .global("torch.jit._pickle", "restore_type_tag")
                .op(b"]")
                .text("List[__torch__.torch.classes.mine.Thing]")
                .op(b"\x86R")
        },
        Code::UnsafeArchive,
        "custom C++ class",
    );
    let source =
        ArchiveFixture::network().with_source("class Mine(Module):\n  x : __torch__.torch.classes.mine.Thing\n");
    assert_refused(&source.bytes(), Code::UnsafeArchive, "custom C++ class");
}

#[test]
fn a_class_without_its_source_file_is_refused() {
    let data = PickleWriter::new().global("__torch__.mine.nets", "Net").op(b")\x81}b").end();
    let rejection = refuse_pickle(&data, Code::DamagedArchive, "`__torch__.mine.nets.Net`");
    assert_eq!(rejection.node.as_deref(), Some("code/__torch__/mine/nets.py"));
}

#[test]
fn a_tensor_that_reaches_outside_its_storage_is_refused() {
    let weight = TensorFixture::weight();
    for (offset, sizes, strides) in [
        (1, vec![2, 3], vec![3, 1]),
        (0, vec![2, 3], vec![4, 1]),
        (6, vec![], vec![]),
        (0, vec![7], vec![1]),
        (7, vec![0], vec![1]),
    ] {
        let weight = TensorFixture { offset, sizes, strides, ..weight.clone() };
        refuse_weight(&weight, Code::DamagedArchive, "of a storage of 6");
    }
}

#[test]
fn negative_or_overflowing_dimensions_are_refused() {
    let weight = TensorFixture::weight();
    for (offset, sizes, strides) in [
        (-1, vec![2, 3], vec![3, 1]),
        (5, vec![6], vec![-1]),
        (0, vec![-2, 3], vec![3, 1]),
        (0, vec![i64::MAX, i64::MAX], vec![0, 0]),
        (0, vec![4], vec![i64::MAX]),
        (i64::MAX, vec![i64::MAX], vec![2]),
    ] {
        let weight = TensorFixture { offset, sizes, strides, ..weight.clone() };
        refuse_weight(&weight, Code::DamagedArchive, "impossible dimensions");
    }
}

#[test]
fn a_tensor_that_unfolds_to_far_more_than_the_file_is_refused() {
    let weight = TensorFixture { sizes: vec![1 << 40], strides: vec![0], ..TensorFixture::weight() };
    refuse_weight(&weight, Code::UnsafeArchive, "unfold");
}

#[test]
fn a_storage_of_another_size_than_its_record_is_refused() {
    for elements in [7, 1 << 40, i64::MAX] {
        let weight = TensorFixture { elements, ..TensorFixture::weight() };
        let rejection = assert_refused(&ArchiveFixture::with_weight(&weight).bytes(), Code::DamagedArchive, "elements");
        assert_eq!(rejection.node.as_deref(), Some("data/0"));
    }
    let weight = TensorFixture { elements: -1, ..TensorFixture::weight() };
    assert_refused(&ArchiveFixture::with_weight(&weight).bytes(), Code::DamagedArchive, "-1 elements");
}

#[test]
fn a_record_that_is_loaded_twice_is_refused() {
    let attributes =
        PickleWriter::new().text("a").tensor(&TensorFixture::weight()).text("b").tensor(&TensorFixture::weight());
    assert_refused(&ArchiveFixture::with_module(attributes).bytes(), Code::UnsafeArchive, "more than once");
}

#[test]
fn weights_of_another_type_are_refused_by_name() {
    for (storage_type, bytes, name) in [
        ("HalfStorage", 2, "float16"),
        ("BFloat16Storage", 2, "bfloat16"),
        ("DoubleStorage", 8, "float64"),
        ("ComplexFloatStorage", 8, "complex64"),
        ("QInt8Storage", 1, "qint8"),
    ] {
        let elements = 24 / bytes;
        let weight = TensorFixture {
            storage_type,
            elements,
            sizes: vec![elements],
            strides: vec![1],
            ..TensorFixture::weight()
        };
        refuse_weight(&weight, Code::UnsupportedDtype, name);
    }
    let weight = TensorFixture { storage_type: "Float8_e4m3fnStorage", ..TensorFixture::weight() };
    let bytes = ArchiveFixture::with_weight(&weight).bytes();
    assert_refused(&bytes, Code::UnsupportedDtype, "`torch.Float8_e4m3fnStorage`");
}

#[test]
fn the_name_of_a_refused_tensor_leads_through_modules_and_lists() {
    let half = TensorFixture { storage_type: "HalfStorage", elements: 12, ..TensorFixture::weight() };
    let attributes = PickleWriter::new()
        .text("layer1")
        .global("__torch__", "Net")
        .op(b")\x81}(")
        .text("weights")
        .op(b"](N")
        .tensor(&half)
        .op(b"eub");
    let rejection = assert_refused(&ArchiveFixture::with_module(attributes).bytes(), Code::UnsupportedDtype, "float16");
    assert_eq!(rejection.node.as_deref(), Some("layer1.weights.1"));
}

#[test]
fn quantized_and_sparse_tensors_are_refused_with_what_to_do() {
    let quantized = refuse_attribute(
        |pickle| pickle.global("torch._utils", "_rebuild_qtensor"),
        Code::UnsupportedDtype,
        "quantized tensor",
    );
    assert!(quantized.hint.unwrap().contains("Upload the float32 model"));
    let sparse = refuse_attribute(
        |pickle| pickle.global("torch._utils", "_rebuild_sparse_tensor"),
        Code::UnsupportedDtype,
        "sparse tensor",
    );
    assert!(sparse.hint.unwrap().contains("to_dense"));
}

#[test]
fn a_tensor_on_an_unknown_device_is_refused() {
    for device in ["meta", "cuda:0/..", "lazy", ""] {
        let weight = TensorFixture { device, ..TensorFixture::weight() };
        refuse_weight(&weight, Code::UnsupportedDtype, "device");
    }
}

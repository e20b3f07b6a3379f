use super::super::fixture::{ArchiveFixture, PickleWriter, RawEntry, TensorFixture};
use super::{assert_refused, preflight_bytes};
use crate::rejection::Code;
use crate::untrusted::pickle;

/// Texts, each memoised, as the serializer writes them; `first` is the first free entry of the memo.
fn words(count: u32, first: u32, mut pickle: PickleWriter) -> PickleWriter {
    for index in 0..count {
        pickle = pickle
            .text(&format!("word-{index}"))
            .op(b"r")
            .op(&(first + index).to_le_bytes())
            .op(b"J")
            .op(&index.to_le_bytes());
    }
    pickle
}

#[test]
fn a_vocabulary_of_400_000_words_passes() {
    let vocabulary = words(400_000, 0, PickleWriter::new().text("vocabulary").op(b"}(")).op(b"u");
    preflight_bytes(&ArchiveFixture::with_module(vocabulary).bytes()).unwrap();
}

#[test]
fn a_list_of_a_thousand_tensors_passes_and_each_has_its_name() {
    let weight =
        |index: usize| TensorFixture { key: Box::leak(index.to_string().into_boxed_str()), ..TensorFixture::weight() };
    let list = |last: TensorFixture| {
        let tensors = (0..999).map(weight).chain([last]);
        let attributes = tensors
            .fold(PickleWriter::new().text("weights").op(b"]("), |pickle, tensor| pickle.tensor(&tensor))
            .op(b"e");
        (1..1000).fold(ArchiveFixture::with_module(attributes), |archive, index| {
            archive.adding(RawEntry::new(&format!("net/data/{index}"), &[0; 24]))
        })
    };
    assert_eq!(preflight_bytes(&list(weight(999)).bytes()).unwrap().tensors, 1000);
    let outside = TensorFixture { offset: 1, ..weight(999) };
    let rejection = assert_refused(&list(outside).bytes(), Code::DamagedArchive, "reaches element 7");
    assert_eq!(rejection.node.as_deref(), Some("weights.999"));
}

#[test]
fn a_tensor_behind_many_tuples_passes() {
    let pairs = b"K\x01K\x02\x86".repeat(5000);
    for opening in [&b"]("[..], b"("] {
        let closing: &[u8] = if opening.len() == 2 { b"e" } else { b"t" };
        let attributes = PickleWriter::new()
            .text("mixed")
            .op(opening)
            .op(&pairs)
            .tensor(&TensorFixture::weight())
            .op(&pairs)
            .op(closing);
        assert_eq!(preflight_bytes(&ArchiveFixture::with_module(attributes).bytes()).unwrap().tensors, 1);
    }
}

#[test]
fn a_recalled_tuple_does_not_shift_the_arguments_of_a_tensor() {
    // The empty tuple of the hooks comes from the memo, where sizes and strides were not yet known.
    let weight = PickleWriter::new().tensor(&TensorFixture::weight());
    let hooks = weight.0.windows(2).rposition(|pair| pair == b")R").unwrap();
    let mut recalled = PickleWriter::new().text("unused").op(b")q\x00").text("weight").op(&weight.0[2..]);
    let at = recalled.0.len() - weight.0.len() + hooks;
    recalled.0.splice(at..=at, *b"h\x00");
    let summary = preflight_bytes(&ArchiveFixture::with_module(recalled.clone()).bytes()).unwrap();
    assert_eq!(summary.tensors, 1);
}

#[test]
fn a_tensor_whose_sizes_come_from_the_memo_is_refused_since_pytorch_never_writes_one() {
    let attributes = PickleWriter::new()
        .text("sizes")
        .op(b"(K\x02K\x03tq\x00")
        .text("weight")
        .global("torch._utils", "_rebuild_tensor_v2")
        .op(b"((")
        .text("storage")
        .global("torch", "FloatStorage")
        .text("0")
        .text("cpu")
        .op(b"K\x06tQK\x00h\x00h\x00\x89")
        .global("collections", "OrderedDict")
        .op(b")RtR");
    assert_refused(&ArchiveFixture::with_module(attributes).bytes(), Code::DamagedArchive, "no tuple of integers");
}

#[test]
fn a_tensor_that_two_attributes_share_passes_and_counts_once() {
    let attributes =
        PickleWriter::new().text("weight").tensor(&TensorFixture::weight()).op(b"q\x00").text("tied").op(b"h\x00");
    assert_eq!(preflight_bytes(&ArchiveFixture::with_module(attributes).bytes()).unwrap().tensors, 1);
}

#[test]
fn a_pickle_with_too_many_memo_entries_or_texts_is_refused() {
    let memo = (0..=pickle::MAX_MEMO as u32)
        .fold(PickleWriter::new().text("a").op(b"N"), |pickle, index| pickle.op(b"r").op(&index.to_le_bytes()));
    assert_refused(&ArchiveFixture::with_module(memo).bytes(), Code::UnsafeArchive, "memo entries");
    let word = "w".repeat(8000);
    let texts = (0..1100).fold(PickleWriter::new().text("a").op(b"]("), |pickle, _| pickle.text(&word)).op(b"e");
    assert_refused(&ArchiveFixture::with_module(texts).bytes(), Code::UnsafeArchive, "bytes of texts");
}

#[test]
fn one_long_text_passes_unless_it_is_no_text() {
    let text = "ß".repeat(1 << 20);
    let attributes = |text: &[u8]| {
        let length = (text.len() as u32).to_le_bytes();
        ArchiveFixture::with_module(PickleWriter::new().text("license").op(b"X").op(&length).op(text)).bytes()
    };
    preflight_bytes(&attributes(text.as_bytes())).unwrap();
    assert_refused(&attributes(&text.as_bytes()[1..]), Code::DamagedArchive, "not UTF-8");
}

#[test]
fn the_operations_of_all_pickles_count_together() {
    let half = pickle::MAX_OPERATIONS as usize / 2;
    let numbers = PickleWriter::new().op(b"](").op(&b"N".repeat(half)).op(b"e").end();
    let one = ArchiveFixture::network().with("bytecode.pkl", &numbers);
    preflight_bytes(&one.bytes()).unwrap();
    let two = one.with("mobile_debug_handles.pkl", &numbers);
    assert_refused(&two.bytes(), Code::UnsafeArchive, "the pickles of the archive have more than");
}

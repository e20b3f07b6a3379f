use super::super::fixture::{ArchiveFixture, PickleWriter, RawEntry, TensorFixture};
use super::{assert_refused, preflight_bytes};
use crate::rejection::{Code, Rejection};

/// Characters that would let a name lie, and how a message writes them.
const HIDDEN: [(char, &str); 6] = [
    ('\n', "\\u000a"),
    ('\u{1b}', "\\u001b"),
    ('\0', "\\u0000"),
    ('\u{202e}', "\\u202e"),
    ('\u{200b}', "\\u200b"),
    ('\u{2028}', "\\u2028"),
];

/// Nothing that is shown of the rejection has a hidden character itself.
#[track_caller]
fn assert_plain(rejection: &Rejection) {
    let shown = [Some(&rejection.detail), rejection.node.as_ref(), rejection.hint.as_ref()];
    for text in shown.into_iter().flatten() {
        assert_eq!(crate::plain_text::hidden_character(text), None, "{rejection:?}");
    }
}

#[test]
fn a_record_whose_name_has_hidden_characters_is_refused_with_the_name_escaped() {
    for (character, written) in HIDDEN {
        for name in [format!("net/extra/a{character}b"), format!("net{character}/version")] {
            let archive = ArchiveFixture::network().adding(RawEntry::new(&name, b""));
            let rejection = assert_refused(&archive.bytes(), Code::UnsafeArchive, written);
            assert_plain(&rejection);
        }
    }
}

#[test]
fn an_attribute_whose_name_has_hidden_characters_is_refused_with_the_name_escaped() {
    for (character, written) in HIDDEN {
        let attributes = PickleWriter::new().text("training").op(b"\x89").text(&format!("wei{character}ght")).op(b"N");
        let rejection = assert_refused(
            &ArchiveFixture::with_module(attributes).bytes(),
            Code::UnsafeArchive,
            "an attribute whose name",
        );
        assert!(rejection.detail.contains(written), "{rejection:?}");
        assert_plain(&rejection);
    }
}

#[test]
fn an_attribute_whose_name_would_be_a_path_or_nothing_is_refused() {
    for (name, words) in [("layer1.weight", "has a dot"), ("", "is empty"), (&*"a".repeat(1025), "at most 1024")] {
        let attributes = PickleWriter::new().text(name).op(b"N");
        assert_refused(&ArchiveFixture::with_module(attributes).bytes(), Code::UnsafeArchive, words);
    }
}

#[test]
fn the_name_of_a_refused_tensor_is_escaped_where_it_leads_through_hidden_characters() {
    let half = TensorFixture { storage_type: "HalfStorage", elements: 12, ..TensorFixture::weight() };
    let attributes = PickleWriter::new().text("weights").op(b"}(").text("a\u{202e}b").tensor(&half).op(b"u");
    let rejection = assert_refused(&ArchiveFixture::with_module(attributes).bytes(), Code::UnsupportedDtype, "float16");
    assert_eq!(rejection.node.as_deref(), Some("weights.a\\u202eb"));
    assert_plain(&rejection);
}

#[test]
fn keys_of_a_users_dictionary_may_be_any_text() {
    let attributes =
        PickleWriter::new().text("words").op(b"}(").text("क्\u{200d}ष").op(b"K\x01").text("\n").op(b"K\x02u");
    preflight_bytes(&ArchiveFixture::with_module(attributes).bytes()).unwrap();
}

#[test]
fn a_class_and_a_storage_whose_names_have_hidden_characters_are_refused() {
    let class = PickleWriter::new().text("a").global("__torch__.ne\u{202e}t", "Net");
    assert_plain(&assert_refused(&ArchiveFixture::with_module(class).bytes(), Code::DamagedArchive, "no identifier"));
    let weight = TensorFixture { key: "0\u{1b}[2J", ..TensorFixture::weight() };
    assert_plain(&assert_refused(&ArchiveFixture::with_weight(&weight).bytes(), Code::DamagedArchive, "\\u001b[2J"));
    let weight = TensorFixture { device: "cpu\r\n", ..TensorFixture::weight() };
    assert_plain(&assert_refused(
        &ArchiveFixture::with_weight(&weight).bytes(),
        Code::UnsupportedDtype,
        "\\u000d\\u000a",
    ));
}

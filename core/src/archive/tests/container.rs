use super::super::fixture::{ArchiveFixture, RawEntry, zip};
use super::assert_refused;
use crate::rejection::Code;

fn refuse(archive: &ArchiveFixture, code: Code, words: &str) {
    assert_refused(&archive.bytes(), code, words);
}

#[test]
fn an_entry_name_that_leaves_the_archive_is_refused() {
    for (name, words) in [
        ("net/../escape", "`..` part"),
        ("net/./a", "`.` or"),
        ("net//a", "empty"),
        ("/net/a", "absolute"),
        ("C:/net/a", "absolute"),
        ("net\\a", "backslash"),
        ("net/a\0b", "control characters"),
        ("net/folder/", "folder"),
        ("", "empty"),
    ] {
        refuse(&ArchiveFixture::network().adding(RawEntry::new(name, b"")), Code::UnsafeArchive, words);
    }
}

#[test]
fn an_entry_name_that_is_not_utf8_or_too_long_is_refused() {
    let mut entry = RawEntry::new("net/a", b"");
    entry.name = b"net/\xff".to_vec();
    refuse(&ArchiveFixture::network().adding(entry), Code::UnsafeArchive, "not UTF-8");
    let long = format!("net/{}", "a".repeat(2000));
    refuse(&ArchiveFixture::network().adding(RawEntry::new(&long, b"")), Code::UnsafeArchive, "at most 1024");
}

#[test]
fn two_entries_of_one_name_are_refused_also_when_only_the_case_differs() {
    for name in ["net/data.pkl", "net/DATA.pkl"] {
        refuse(&ArchiveFixture::network().adding(RawEntry::new(name, b"")), Code::UnsafeArchive, "two entries");
    }
}

#[test]
fn a_second_root_folder_is_refused() {
    refuse(&ArchiveFixture::network().adding(RawEntry::new("other/a", b"")), Code::UnsafeArchive, "two root folders");
    refuse(&ArchiveFixture::network().adding(RawEntry::new("loose", b"")), Code::UnsafeArchive, "root folder");
}

#[test]
fn links_and_devices_are_refused() {
    for (mode, words) in [(0o120_777, "symbolic link"), (0o020_666, "regular file")] {
        let archive = ArchiveFixture::network().changing("version", |entry| entry.attributes = mode << 16);
        refuse(&archive, Code::UnsafeArchive, words);
    }
}

#[test]
fn encrypted_and_compressed_records_are_refused() {
    refuse(&ArchiveFixture::network().changing("version", |entry| entry.flags = 1), Code::UnsafeArchive, "encrypted");
    refuse(&ArchiveFixture::network().changing("version", |entry| entry.flags = 1 << 6), Code::UnsafeArchive, "flags");
    for method in [8, 12] {
        let archive = ArchiveFixture::network().changing("data/0", |entry| entry.method = method);
        refuse(&archive, Code::UnsafeArchive, "`data/0` is compressed");
    }
}

#[test]
fn a_header_with_another_size_than_the_data_is_refused() {
    let archive = ArchiveFixture::network().changing("data/0", |entry| entry.declared_size = Some(1 << 30));
    refuse(&archive, Code::DamagedArchive, "24 bytes become 1073741824");
}

#[test]
fn two_headers_with_two_names_are_refused() {
    let archive =
        ArchiveFixture::network().changing("version", |entry| entry.local_name = Some(b"net/versioN".to_vec()));
    refuse(&archive, Code::UnsafeArchive, "contradict");
}

#[test]
fn overlapping_entries_are_refused() {
    let archive = ArchiveFixture::network().adding(RawEntry {
        local_name: Some(b"net/data/0".to_vec()),
        offset: Some(0),
        ..RawEntry::new("net/data/9", &[0; 24])
    });
    refuse(&archive, Code::UnsafeArchive, "overlaps");
}

#[test]
fn bytes_that_belong_to_no_entry_are_refused() {
    let archive = ArchiveFixture::network().changing("data.pkl", |entry| entry.padding = 5);
    refuse(&archive, Code::UnsafeArchive, "5 bytes");

    let mut appended = ArchiveFixture::network().bytes();
    appended.extend(b"more");
    assert_refused(&appended, Code::UnsafeArchive, "follows the end");

    let mut between = ArchiveFixture::network().bytes();
    let end = between.len() - 22;
    between.splice(end..end, [0; 7]);
    assert_refused(&between, Code::UnsafeArchive, "7 bytes");
}

#[test]
fn a_zip_comment_is_refused() {
    let mut commented = ArchiveFixture::network().bytes();
    let length_at = commented.len() - 2;
    commented[length_at] = 4;
    commented.extend(b"note");
    assert_refused(&commented, Code::UnsafeArchive, "follows the end");
}

#[test]
fn end_records_that_contradict_each_other_are_refused() {
    let mut bytes = ArchiveFixture::network().bytes();
    let end = bytes.len() - 22;
    let mut zip64 = b"PK\x06\x06".to_vec();
    zip64.extend(44u64.to_le_bytes());
    zip64.extend([0; 12]);
    zip64.extend(1u64.to_le_bytes());
    zip64.extend(1u64.to_le_bytes());
    zip64.extend(50u64.to_le_bytes());
    zip64.extend((end as u64 - 50).to_le_bytes());
    zip64.extend(b"PK\x06\x07\x00\x00\x00\x00");
    zip64.extend((end as u64).to_le_bytes());
    zip64.extend(1u32.to_le_bytes());
    bytes.splice(end..end, zip64);
    assert_refused(&bytes, Code::UnsafeArchive, "contradict each other");
}

#[test]
fn a_directory_that_claims_more_entries_than_fit_is_refused_before_anything_is_allocated() {
    let mut bytes = ArchiveFixture::network().bytes();
    let entries_at = bytes.len() - 14;
    bytes[entries_at..entries_at + 4].copy_from_slice(&[0xff; 4]);
    assert_refused(&bytes, Code::DamagedArchive, "65535 entries do not fit");
}

#[test]
fn a_missing_record_is_named() {
    for name in ["constants.pkl", "version", "data/0"] {
        let rejection =
            assert_refused(&ArchiveFixture::network().without(name).bytes(), Code::DamagedArchive, "is missing");
        assert_eq!(rejection.node.as_deref(), Some(name));
    }
}

#[test]
fn an_unknown_version_or_byte_order_is_refused() {
    for version in ["0", "11", "three", "", "99999999999"] {
        let archive = ArchiveFixture::network().with("version", version.as_bytes());
        refuse(&archive, Code::DamagedArchive, "versions 1 to 10");
    }
    // PyTorch prefers this one.
    refuse(&ArchiveFixture::network().with(".data/version", b"77"), Code::DamagedArchive, "`77`");
    refuse(&ArchiveFixture::network().with("byteorder", b"big"), Code::UnsupportedDtype, "`big`");
}

#[test]
fn a_record_above_its_limit_is_refused() {
    let archive = ArchiveFixture::network().with("version", &[b'1'; 65]);
    refuse(&archive, Code::UnsafeArchive, "at most 64");
}

#[test]
fn a_zip_cut_off_before_its_end_record_is_called_damaged() {
    let bytes = zip(&ArchiveFixture::network().0);
    let rejection = assert_refused(&bytes[..bytes.len() / 2], Code::DamagedArchive, "cut off");
    assert!(rejection.hint.unwrap().contains("Upload the file again"));
}

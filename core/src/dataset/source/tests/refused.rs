use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::fixture::{committed, refused, zip};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = GzEncoder::new(Vec::new(), Compression::default());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

#[test]
fn an_archive_without_samples_says_what_it_begins_with() {
    let rejection = refused(&zip(&["notes.docx", "table.csv"]));
    assert!(rejection.detail.contains("it begins with `notes.docx`, `table.csv`"), "{}", rejection.detail);
    assert!(rejection.detail.contains("`.jpg`"));
}

#[test]
fn gzip_of_something_else_than_a_tar_is_refused() {
    assert!(refused(&gzip(b"a text")).detail.contains("no tar archive"));
}

/// 64 MiB and a hundred times its size are allowed; what comes behind that is not looked at.
#[test]
fn an_archive_that_unpacks_to_far_more_than_its_size_is_refused() {
    let mut header = committed("unlabelled.tar")[..512].to_vec();
    header[124..136].copy_from_slice(b"77777777777\0");
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    let archive = |zeros| gzip(&[&header[..], &vec![0; zeros]].concat());
    let bomb = refused(&archive(120 << 20));
    assert!(bomb.detail.contains("more than a hundred times its size"), "{}", bomb.detail);
    let cut = refused(&archive(1 << 20));
    assert!(cut.detail.contains("ends before its last member does"), "{}", cut.detail);
}

#[test]
fn pickles_of_cifar_are_refused() {
    let rejection = refused(&zip(&["cifar-10-batches-py/data_batch_1", "cifar-10-batches-py/batches.meta"]));
    assert!(rejection.detail.contains("pickles") && rejection.hint.unwrap().contains("binary version"));
}

#[test]
fn a_batch_of_cifar_that_was_cut_is_refused_by_name() {
    let rejection = refused(&zip(&["data_batch_1.bin"]));
    assert!(
        rejection.detail.contains("`data_batch_1.bin` has 1 bytes, which is no multiple of 3073"),
        "{}",
        rejection.detail
    );
}

#[test]
fn an_idx_file_with_another_magic_is_refused_by_name() {
    let rejection = refused(&zip(&["train-images-idx3-ubyte"]));
    assert!(rejection.detail.contains("shorter than the 16 bytes"), "{}", rejection.detail);
}

#[test]
fn a_table_without_its_end_is_refused() {
    let table = committed("tokens.parquet");
    let rejection = refused(&table[..table.len() - 4]);
    assert!(rejection.detail.contains("does not end with `PAR1`"), "{}", rejection.detail);
}

#[test]
fn a_packed_table_says_how_to_pack_it() {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    writer.start_file("train.parquet", zip::write::SimpleFileOptions::default()).unwrap();
    writer.write_all(&committed("tokens.parquet")).unwrap();
    let rejection = refused(&writer.finish().unwrap().into_inner());
    assert!(rejection.detail.contains("is packed") && rejection.hint.unwrap().contains("zip -0"));
}

#[test]
fn masks_in_a_packed_tar_are_refused() {
    let header = |name: &str| {
        let mut header = vec![0; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[257..263].copy_from_slice(b"ustar\0");
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        header
    };
    let rejection = refused(&gzip(&[header("images/1.jpg"), header("masks/1.png")].concat()));
    assert!(rejection.detail.contains("read together"), "{}", rejection.detail);
}

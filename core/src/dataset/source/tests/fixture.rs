//! Files and archives for the tests.

use std::fs::File;
use std::io::{Cursor, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::dataset::source::{Content, FileSample, Source, SourceSummary};
use crate::rejection::Rejection;

/// The bytes of a committed file.
pub(super) fn committed(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/tests/fixtures/formats");
    std::fs::read(folder.join(name)).unwrap()
}

pub(super) fn recognise(bytes: &[u8]) -> Result<Option<Source>, Rejection> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    Source::recognise(&Arc::new(file))
}

/// A file that tests write over, since making one takes longer than reading it.
pub(super) struct Scratch(Arc<File>);

impl Scratch {
    pub(super) fn new() -> Self {
        Self(Arc::new(tempfile::tempfile().unwrap()))
    }

    pub(super) fn recognise(&self, bytes: &[u8]) -> Result<Option<Source>, Rejection> {
        let mut file = &*self.0;
        file.set_len(0).unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.write_all(bytes).unwrap();
        Source::recognise(&self.0)
    }
}

pub(super) fn source(bytes: &[u8]) -> Source {
    recognise(bytes).unwrap().expect("it is a data set")
}

pub(super) fn summary(bytes: &[u8]) -> SourceSummary {
    source(bytes).summary().clone()
}

pub(super) fn refused(bytes: &[u8]) -> Rejection {
    let rejection = recognise(bytes).expect_err("it is refused");
    rejection.assert_sentences();
    rejection
}

/// A zip of files with these names and a byte each; names that end with `/` are folders.
pub(super) fn zip(names: &[&str]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for name in names {
        if let Some(folder) = name.strip_suffix('/') {
            writer.add_directory(folder, options).unwrap();
        } else {
            writer.start_file(*name, options).unwrap();
            writer.write_all(b"x").unwrap();
        }
    }
    writer.finish().unwrap().into_inner()
}

/// The samples of train, val and test, by the names of their members.
pub(super) fn members(source: &Source) -> [Vec<(String, FileSample)>; 3] {
    let Content::Pictures(archive, samples) = source.content() else { panic!("it has pictures") };
    samples
        .each_ref()
        .map(|samples| samples.iter().map(|sample| (archive.name(sample.member).to_owned(), *sample)).collect())
}

//! What the fuzz targets share: an archive around the bytes that a target is about.
//!
//! A random change of a whole file is nearly always found by a checksum, so most targets get the inside of one record and
//! put it into an archive that is right in everything else.

use std::io::{Cursor, Write};
use std::path::Path;
use std::sync::Arc;

use secateur_core::archive::{ArchiveSummary, preflight_reader, traced_input_shapes_reader};
use secateur_core::rejection::Rejection;

/// Source text of a network with one weight.
pub const SOURCE: &[u8] = b"class Net(Module):
  __parameters__ = [\"weight\", ]
  __buffers__ = []
  weight : Tensor
  training : bool
  def forward(self: __torch__.Net,
    x: Tensor) -> Tensor:
    weight = self.weight
    return torch.linear(x, weight)
";

/// An object without attributes.
pub const MODULE: &[u8] = b"\x80\x02c__torch__\nNet\n)\x81}b.";
pub const EMPTY_TUPLE: &[u8] = b"\x80\x02).";

/// The records of an archive that passes, below its root folder.
pub fn network() -> Vec<(String, Vec<u8>)> {
    let records: [(&str, &[u8]); 8] = [
        ("data/0", &[0; 24]),
        ("data.pkl", MODULE),
        ("code/__torch__.py", SOURCE),
        ("constants/0", &[0; 24]),
        ("constants.pkl", EMPTY_TUPLE),
        ("traced_inputs/0", b""),
        ("version", b"3\n"),
        ("byteorder", b"little"),
    ];
    records.map(|(name, data)| (name.to_owned(), data.to_vec())).into()
}

/// The network with another record.
pub fn network_with(name: &str, data: &[u8]) -> Vec<u8> {
    let mut records = network();
    records.retain(|(existing, _)| existing != name);
    records.push((name.to_owned(), data.to_vec()));
    zip(&records.iter().map(|(name, data)| (format!("net/{name}"), data.as_slice())).collect::<Vec<_>>())
}

/// A zip of stored entries.
pub fn zip(entries: &[(String, &[u8])]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut directory = Vec::new();
    for (name, data) in entries {
        let offset = file.len() as u32;
        let mut header = vec![0; 8];
        header.extend(crc32fast::hash(data).to_le_bytes());
        header.extend((data.len() as u32).to_le_bytes());
        header.extend((data.len() as u32).to_le_bytes());
        header.extend((name.len() as u16).to_le_bytes());
        header.extend([0; 2]);
        file.extend(b"PK\x03\x04\x14\x00");
        file.extend(&header);
        file.extend(name.as_bytes());
        file.extend(*data);
        directory.extend(b"PK\x01\x02\x14\x03\x14\x00");
        directory.extend(&header);
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let start = file.len() as u32;
    file.extend(&directory);
    file.extend(b"PK\x05\x06\x00\x00\x00\x00");
    file.extend((entries.len() as u16).to_le_bytes());
    file.extend((entries.len() as u16).to_le_bytes());
    file.extend((directory.len() as u32).to_le_bytes());
    file.extend(start.to_le_bytes());
    file.extend([0; 2]);
    file
}

/// A pre-flight, and what must hold whatever it says.
pub fn preflight(file: &[u8]) -> Result<ArchiveSummary, Rejection> {
    let result = preflight_reader(&mut Cursor::new(file));
    if let Err(rejection) = &result {
        check_rejection(rejection);
    }
    let shapes = traced_input_shapes_reader(&mut Cursor::new(file));
    assert!(shapes.is_none_or(|shapes| shapes.iter().flatten().all(|&size| size >= 0)));
    result
}

/// A rejection is a sentence: of bounded length, on one line, without characters that nobody sees.
pub fn check_rejection(rejection: &Rejection) {
    let texts = [Some(&rejection.detail), rejection.node.as_ref(), rejection.hint.as_ref()];
    for text in texts.into_iter().flatten() {
        assert!(text.len() < 8_192, "{} bytes: {text}", text.len());
        assert!(!text.chars().any(|character| character.is_control()), "{text:?}");
    }
    assert!(rejection.detail.ends_with('.'), "{}", rejection.detail);
}

/// Opens a data set; what passes is loaded as a training would.
pub fn open_dataset(file: &[u8]) {
    use secateur_core::dataset::{Dataset, Elements, InputSummary, Layout, Split};

    let mut upload = tempfile::NamedTempFile::new_in(memory_folder()).expect("a file can be made");
    upload.write_all(file).expect("a file can be written");
    match Dataset::open(upload.path()) {
        Ok(dataset) => {
            let layouts: Vec<Layout> = dataset.summary().inputs.iter().map(InputSummary::layout).collect();
            for split in [Split::Train, Split::Val, Split::Test] {
                let data = dataset.split(split, &layouts, 0).unwrap().read_all().expect("a data set that was checked can be loaded");
                for column in data.inputs.iter().chain(&data.labels) {
                    let elements = match &column.elements {
                        Elements::U8(values) => values.len(),
                        Elements::I64(values) => values.len(),
                        Elements::F32(values) => values.len(),
                    };
                    assert_eq!(elements, data.count * column.shape.iter().product::<usize>());
                }
            }
        }
        Err(rejection) => check_rejection(&rejection),
    }
}

/// Recognises a data set in a format that is converted; of an archive every member is read.
pub fn recognise_source(file: &[u8]) {
    use secateur_core::dataset::source::{Content, Source};

    let mut upload = tempfile::tempfile_in(memory_folder()).expect("a file can be made");
    upload.write_all(file).expect("a file can be written");
    match Source::recognise(&Arc::new(upload)) {
        Ok(Some(source)) => {
            if let Content::Pictures(archive, _) | Content::Sounds(archive, _) = source.content() {
                for member in (0..archive.len()).filter(|_| archive.is_random_access()) {
                    let _ = archive.read(member, 1 << 20);
                }
            }
        }
        Ok(None) => {}
        Err(rejection) => check_rejection(&rejection),
    }
}

/// Where a file costs no disk, if there is such a place.
fn memory_folder() -> &'static Path {
    let shared_memory = Path::new("/dev/shm");
    if shared_memory.is_dir() { shared_memory } else { Path::new("/tmp") }
}

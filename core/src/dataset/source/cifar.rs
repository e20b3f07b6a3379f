//! CIFAR-10 and CIFAR-100 as their authors publish them for C: records of one or two labels and 3 · 32 · 32 bytes.

use super::super::invalid;
use super::archive::Archive;
use super::path::base;
use crate::plain_text::escaped;
use crate::rejection::Rejection;

/// A picture: a plane for red, green and blue.
pub(super) const SHAPE: [usize; 3] = [3, 32, 32];
/// Its bytes.
const PICTURE: u64 = (SHAPE[0] * SHAPE[1] * SHAPE[2]) as u64;

/// The files of the set.
#[derive(Debug)]
pub struct Cifar {
    /// Labels in front of each picture, of which the last one is read: CIFAR-100 has a coarse and a fine one.
    pub label_bytes: usize,
    /// Members of the archive, of train, val and test.
    pub files: [Vec<u32>; 3],
    /// Records of each of these files.
    pub(super) records: [usize; 3],
    /// In the order of their numbers; empty where the archive does not name them.
    pub(super) classes: Vec<String>,
}

/// The set, when the archive holds its files.
pub(super) fn read(archive: &Archive) -> Result<Option<Cifar>, Rejection> {
    let find = |wanted: &dyn Fn(&str) -> bool| -> Vec<u32> {
        let mut found: Vec<u32> = (0..archive.len()).filter(|&member| wanted(base(archive.name(member)))).collect();
        found.sort_by_key(|&member| archive.name(member));
        found
    };
    let is_batch = |name: &str| name.starts_with("data_batch_");
    if !find(&|name| is_batch(name) && !name.contains('.')).is_empty() {
        return Err(invalid("The archive holds CIFAR as pickles for Python, which are never read.")
            .hint("Upload the binary version, `cifar-10-binary.tar.gz` or `cifar-100-binary.tar.gz`."));
    }
    let fine_names = find(&|name| name == "fine_label_names.txt");
    let (label_bytes, train, test, names) = if fine_names.is_empty() {
        let train = find(&|name| is_batch(name) && name.ends_with(".bin"));
        (1, train, find(&|name| name == "test_batch.bin"), find(&|name| name == "batches.meta.txt"))
    } else {
        (2, find(&|name| name == "train.bin"), find(&|name| name == "test.bin"), fine_names)
    };
    if train.is_empty() {
        return Ok(None);
    }
    let record = label_bytes + PICTURE;
    let mut records = [0; 3];
    for (split, files) in [(0, &train), (2, &test)] {
        for &file in files {
            let (size, name) = (archive.size(file), archive.name(file));
            if size == 0 || !size.is_multiple_of(record) {
                return Err(invalid(format!(
                    "`{name}` has {size} bytes, which is no multiple of {record}, a label and a picture."
                ))
                .at(name));
            }
            records[split] += (size / record) as usize;
        }
    }
    let classes = match names.first() {
        None => Vec::new(),
        Some(&member) => {
            let name = archive.name(member);
            let head = archive.head(member);
            let text = head.map_err(|error| invalid(format!("`{name}` could not be read: {error}.")).at(name))?;
            let text = String::from_utf8_lossy(&text).into_owned();
            text.lines().map(str::trim).filter(|line| !line.is_empty()).map(escaped).collect()
        }
    };
    Ok(Some(Cifar { label_bytes: label_bytes as usize, files: [train, Vec::new(), test], records, classes }))
}

//! IDX files as MNIST and its likes come in: `train-images-idx3-ubyte` and `train-labels-idx1-ubyte`, packed with gzip or not.

use std::io::Read;

use flate2::read::GzDecoder;

use super::super::{Split, invalid};
use super::archive::Archive;
use super::path::{base, is_junk};
use crate::rejection::Rejection;

/// Bytes of the header of pictures and of that of labels.
const PICTURES_HEADER: usize = 16;
const LABELS_HEADER: usize = 8;
/// Pixels of one picture.
const MOST_PIXELS: u64 = 1 << 26;

/// The two files of a split.
#[derive(Debug, Clone, Copy)]
pub struct IdxPair {
    /// The member with the pictures, whose bytes follow a header of 16.
    pub pictures: u32,
    /// The member with the labels, whose bytes follow a header of 8.
    pub labels: Option<u32>,
    /// How many there are.
    pub count: usize,
    /// Height and width.
    pub size: [usize; 2],
}

/// The pairs of train, val and test, when there are files of this kind.
pub(super) fn read(archive: &Archive) -> Result<Option<[Option<IdxPair>; 3]>, Rejection> {
    let files: Vec<u32> = (0..archive.len())
        .filter(|&member| !is_junk(archive.name(member)) && base(archive.name(member)).contains("-ubyte"))
        .collect();
    if files.is_empty() {
        return Ok(None);
    }
    let find = |what: &str, split: Split| {
        let is_wanted = |&member: &u32| {
            let name = base(archive.name(member));
            name.contains(what) && split_of(name) == Some(split)
        };
        files.iter().copied().find(is_wanted)
    };
    let mut pairs = [None; 3];
    for split in [Split::Train, Split::Val, Split::Test] {
        let Some(pictures) = find("images", split) else { continue };
        pairs[split as usize] = Some(read_pair(archive, pictures, find("labels", split))?);
    }
    if pairs[0].is_none() {
        let name = archive.name(files[0]);
        return Err(invalid("The archive has IDX files, but no `train-images-idx3-ubyte`.").at(name));
    }
    Ok(Some(pairs))
}

fn split_of(name: &str) -> Option<Split> {
    if name.contains("train") {
        Some(Split::Train)
    } else if name.contains("t10k") || name.contains("test") {
        Some(Split::Test)
    } else if name.contains("val") {
        Some(Split::Val)
    } else {
        None
    }
}

fn read_pair(archive: &Archive, pictures: u32, labels: Option<u32>) -> Result<IdxPair, Rejection> {
    let name = archive.name(pictures);
    let header = header(archive, pictures, PICTURES_HEADER)?;
    let number = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let (count, height, width) = (number(4), number(8), number(12));
    let pixels = u64::from(height) * u64::from(width);
    if header[..4] != [0, 0, 8, 3] || count == 0 || pixels == 0 || pixels > MOST_PIXELS {
        return Err(invalid(format!(
            "`{name}` begins with {:02x?} and says {count} pictures of {height} x {width}; [00, 00, 08, 03] and pictures of at \
             least one and at most {MOST_PIXELS} bytes are read.",
            &header[..4]
        ))
        .at(name));
    }
    if let Some(labels) = labels {
        let name = archive.name(labels);
        let header = self::header(archive, labels, LABELS_HEADER)?;
        let of_labels = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        if header[..4] != [0, 0, 8, 1] || of_labels != count {
            return Err(invalid(format!(
                "`{name}` begins with {:02x?} and says {of_labels} labels; [00, 00, 08, 01] and a label for each of the {count} \
                 pictures are read.",
                &header[..4]
            ))
            .at(name));
        }
    }
    Ok(IdxPair { pictures, labels, count: count as usize, size: [height as usize, width as usize] })
}

fn header(archive: &Archive, member: u32, length: usize) -> Result<Vec<u8>, Rejection> {
    let name = archive.name(member);
    let wrong = |what: String| invalid(format!("`{name}` {what}.")).at(name);
    let head = archive.head(member).map_err(|error| wrong(format!("could not be read: {error}")))?;
    let mut header = Vec::new();
    let read = if is_gzip(&head) {
        GzDecoder::new(&head[..]).take(length as u64).read_to_end(&mut header)
    } else {
        (&head[..]).take(length as u64).read_to_end(&mut header)
    };
    match read {
        Ok(_) if header.len() == length => Ok(header),
        _ => Err(wrong(format!("is shorter than the {length} bytes of its header"))),
    }
}

/// Whether bytes are packed with gzip.
pub(super) fn is_gzip(head: &[u8]) -> bool {
    head.starts_with(&[0x1f, 0x8b])
}

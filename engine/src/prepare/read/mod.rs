//! Reading samples from their source, one file for each way in which they lie there.

pub(super) mod cifar;
pub(super) mod files;
pub(super) mod idx;
pub(super) mod tables;

use secateur_core::dataset::source::{Archive, FileSample, Label};
use secateur_core::rejection::{Code, Rejection};

use super::crew::Fault;
use super::picture::Picture;
use crate::error::Error;

/// Bytes of one encoded sample.
const MOST_BYTES: u64 = 64 << 20;
/// Bytes of a label that is a file.
const LONGEST_LABEL: u64 = 64 << 10;

/// A sample as the thread that reads hands it out.
pub(super) enum Piece {
    /// A member that the thread that decodes reads itself.
    Member(FileSample),
    /// What was read on the way through a packed archive.
    Streamed(FileSample, Vec<u8>),
    /// A row or a record.
    Row { name: String, bytes: Bytes, label: i64 },
}

/// A sample in one of the forms in which sources have it.
#[derive(Debug, Clone)]
pub(super) enum Bytes {
    Encoded(Vec<u8>),
    Pixels(Picture),
    Tokens(Vec<i64>),
}

/// A sample with what belongs to it.
pub(super) struct Loaded {
    pub bytes: Bytes,
    /// 0 where there are no classes.
    pub label: i64,
    pub mask: Option<Vec<u8>>,
}

impl Piece {
    /// Reads what is still in the archive.
    pub(super) fn load(&self, archive: Option<&Archive>) -> Result<Loaded, Fault> {
        match self {
            Self::Row { bytes, label, .. } => Ok(Loaded { bytes: bytes.clone(), label: checked(*label)?, mask: None }),
            Self::Member(sample) => {
                let archive = archive.expect("members are of an archive");
                let bytes = read(archive, sample.member, MOST_BYTES)?;
                load_label(archive, *sample, bytes)
            }
            Self::Streamed(sample, bytes) => {
                load_label(archive.expect("members are of an archive"), *sample, bytes.clone())
            }
        }
    }

    /// What the sample is called in a message.
    pub(super) fn name(&self, archive: Option<&Archive>) -> String {
        match self {
            Self::Row { name, .. } => name.clone(),
            Self::Member(sample) | Self::Streamed(sample, _) => {
                archive.map_or_else(String::new, |archive| archive.name(sample.member).to_owned())
            }
        }
    }
}

fn read(archive: &Archive, member: u32, most: u64) -> Result<Vec<u8>, String> {
    archive.read(member, most).map_err(|error| error.to_string())
}

fn load_label(archive: &Archive, sample: FileSample, bytes: Vec<u8>) -> Result<Loaded, Fault> {
    let text = |member: u32| {
        let text = read(archive, member, LONGEST_LABEL).map_err(|error| format!("its label: {error}"))?;
        String::from_utf8(text).map_err(|_| format!("its label `{}` is no text", archive.name(member)))
    };
    let no_number = |found: &str| format!("its label is `{}`, which is no whole number", shortened(found));
    let mut mask = None;
    let label = match sample.label {
        Label::None => 0,
        Label::Missing => return Err(Fault::Bad("it has no label or mask, but others have".to_owned())),
        Label::Class(class) => i64::from(class),
        Label::Text(member) => {
            let text = text(member)?;
            text.trim().parse().map_err(|_| no_number(text.trim()))?
        }
        Label::Json(member) => {
            let text = text(member)?;
            let value: serde_json::Value = serde_json::from_str(&text)
                .map_err(|error| format!("its label `{}` is no JSON: {error}", archive.name(member)))?;
            value["label"].as_i64().ok_or_else(|| no_number(&value["label"].to_string()))?
        }
        Label::Mask(member) => {
            mask = Some(read(archive, member, MOST_BYTES).map_err(|error| format!("its mask: {error}"))?);
            0
        }
    };
    Ok(Loaded { bytes: Bytes::Encoded(bytes), label: checked(label)?, mask })
}

fn checked(label: i64) -> Result<i64, Fault> {
    if label >= 0 { Ok(label) } else { Err(Fault::Bad(format!("its label is {label}; classes are counted from 0"))) }
}

fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}

/// A source that can no longer be read as it was when it was recognised.
fn unreadable(name: &str, error: impl std::fmt::Display) -> Error {
    Rejection::new(Code::InvalidDataset, format!("`{name}` could not be read: {error}.")).at(name).into()
}

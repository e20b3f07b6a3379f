//! A strict reader of zip files: a file has one reading here, or none.
//!
//! Zip readers disagree about comments, duplicates, prefixes and headers that contradict each other, and a check is
//! worth nothing when the program behind it reads another file. (The `zip` crate merges entries of one name, PyTorch
//! looks names up without regard to case.) So this reader wants what writers write: records from byte 0, one after
//! the other without overlap or gap, then the central directory, then the end record as the last 22 bytes; local and
//! central headers that agree; names that are relative, plain and unique.
//! A [`Directory`] holds the headers only, all names in one text; records are read through [`content`].

use std::io::{Read, Seek, SeekFrom};

mod content;
mod directory;
mod end;
mod fields;
mod header;

pub(crate) use self::content::{Content, check_sum, read_entry};
pub(crate) use self::directory::{Directory, DirectoryLimits};

/// What a zip is the container of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contents {
    /// Records of a program: files only, and names that differ in more than case.
    Records,
    /// A folder of somebody's disk: entries for folders are passed over, and case tells names apart.
    Folder,
}

/// How the bytes of an entry are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    Stored,
    Deflated,
    Other(u16),
}

/// One record of a zip file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub name: &'a str,
    pub method: Compression,
    /// Bytes as the headers give them; equal to `packed_size` for a stored entry.
    pub size: u64,
    /// Bytes in the file.
    pub packed_size: u64,
    pub crc32: u32,
    /// Where the packed bytes start in the file.
    pub data_offset: u64,
}

/// The reason why a directory or an entry was not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ZipError {
    pub kind: ZipErrorKind,
    /// What is wrong and what is allowed: a clause in lower case, without a full stop.
    pub detail: String,
    /// The entry at fault.
    pub entry: Option<String>,
}

/// Whether a zip is broken or only of another kind than is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ZipErrorKind {
    /// Something is missing or contradicts something else.
    Damaged,
    /// A legal zip, but not one that is read here.
    Refused,
}

impl ZipError {
    fn damaged(detail: impl Into<String>) -> Self {
        Self { kind: ZipErrorKind::Damaged, detail: detail.into(), entry: None }
    }

    fn refused(detail: impl Into<String>) -> Self {
        Self { kind: ZipErrorKind::Refused, detail: detail.into(), entry: None }
    }

    /// The whole sentence for a user: `The zip is damaged: …`.
    pub(crate) fn sentence(&self) -> String {
        let verdict = match self.kind {
            ZipErrorKind::Damaged => "is damaged",
            ZipErrorKind::Refused => "is refused",
        };
        format!("The zip {verdict}: {}.", self.detail)
    }

    fn at(mut self, entry: &str) -> Self {
        self.entry = Some(entry.to_owned());
        self
    }
}

fn read_at(file: &mut (impl Read + Seek), offset: u64, size: u64) -> Result<Vec<u8>, ZipError> {
    file.seek(SeekFrom::Start(offset)).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(size).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 == size {
        Ok(bytes)
    } else {
        Err(ZipError::damaged(format!("the file ends {} bytes into a part of {size} bytes", bytes.len())))
    }
}

fn unreadable(error: std::io::Error) -> ZipError {
    ZipError::damaged(format!("the file could not be read: {error}"))
}

//! A strict reader of zip directories: a file has one reading here, or none.
//!
//! Zip readers disagree about comments, duplicates, prefixes and headers that contradict each other, and a check is
//! worth nothing when the program behind it reads another file. (The `zip` crate merges entries of one name, PyTorch
//! looks names up without regard to case.) So this reader wants what writers write: records from byte 0, one after
//! the other without overlap or gap, then the central directory, then the end record as the last 22 bytes; local and
//! central headers that agree; names that are relative, plain and unique. It reads headers only and holds nothing of
//! the data. [`archive`](super) and [`dataset`](crate::dataset) both read through it.

use std::collections::HashSet;
use std::io::{Read, Seek, SeekFrom};

use flate2::read::DeflateDecoder;

mod end;
mod header;

use self::end::EndRecord;
use self::header::CentralHeader;
use super::fields::Fields;

/// Bytes of a central directory entry without name and extra fields.
const CENTRAL_HEADER: u64 = 46;
/// A data descriptor behind the data is between 12 and 24 bytes long.
const LONGEST_DESCRIPTOR: u64 = 24;

/// What a caller allows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub entries: u64,
    /// Bytes of the central directory, which is held in memory.
    pub directory: u64,
}

/// How the bytes of an entry are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Stored,
    Deflated,
    Other(u16),
}

/// One record of a zip file whose local and central headers agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub name: String,
    pub method: Method,
    /// Bytes as the headers give them; equal to `packed_size` for a stored entry.
    pub size: u64,
    /// Bytes in the file.
    pub packed_size: u64,
    pub crc32: u32,
    /// Where the packed bytes start in the file.
    pub data_offset: u64,
}

/// Why a directory was not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ZipError {
    pub kind: ZipErrorKind,
    pub detail: String,
    /// The entry at fault.
    pub entry: Option<String>,
}

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

    fn at(mut self, entry: &str) -> Self {
        self.entry = Some(entry.to_owned());
        self
    }
}

/// Reads the directory of a zip file. Holds at most `limits.directory` bytes and the entries made of them.
pub(crate) fn read_directory(file: &mut (impl Read + Seek), limits: Limits) -> Result<Vec<Entry>, ZipError> {
    let length = file.seek(SeekFrom::End(0)).map_err(unreadable)?;
    let end = EndRecord::read(file, length)?;
    if end.entries > limits.entries {
        return Err(ZipError::refused(format!(
            "the zip has {} entries, at most {} are read",
            end.entries, limits.entries
        )));
    }
    if end.directory_size > limits.directory {
        return Err(ZipError::refused(format!(
            "the directory of the zip has {} bytes, at most {} are read",
            end.directory_size, limits.directory
        )));
    }
    if end.entries > end.directory_size / CENTRAL_HEADER {
        return Err(ZipError::damaged(format!(
            "{} entries do not fit into a zip directory of {} bytes",
            end.entries, end.directory_size
        )));
    }

    let directory = read_at(file, end.directory_offset, end.directory_size)?;
    let mut fields = Fields::new(&directory);
    let mut headers = Vec::new();
    let mut names = HashSet::new();
    for number in 0..end.entries {
        let header = CentralHeader::read(&mut fields, number)?;
        if !names.insert(header.entry.name.to_lowercase()) {
            return Err(ZipError::refused(
                "two entries of the zip have this name; PyTorch does not tell upper from lower case",
            )
            .at(&header.entry.name));
        }
        headers.push(header);
    }
    if !fields.is_empty() {
        return Err(ZipError::damaged("the zip directory is longer than its entries"));
    }
    locate_data(file, &mut headers, end.directory_offset)?;
    Ok(headers.into_iter().map(|header| header.entry).collect())
}

/// Reads the whole of an entry; the caller has bounded `entry.size`, which is never exceeded.
pub(crate) fn read_entry(file: &mut (impl Read + Seek), entry: &Entry) -> Result<Vec<u8>, ZipError> {
    match entry.method {
        Method::Stored => read_at(file, entry.data_offset, entry.packed_size),
        Method::Deflated => {
            file.seek(SeekFrom::Start(entry.data_offset)).map_err(unreadable)?;
            let mut unpacked = Vec::new();
            DeflateDecoder::new(file.take(entry.packed_size))
                .take(entry.size + 1)
                .read_to_end(&mut unpacked)
                .map_err(|error| ZipError::damaged(format!("the entry could not be unpacked: {error}")))?;
            if unpacked.len() as u64 == entry.size {
                Ok(unpacked)
            } else {
                Err(ZipError::damaged(format!("the entry does not unpack to the {} bytes of its header", entry.size)))
            }
        }
        Method::Other(method) => {
            Err(ZipError::refused(format!("the entry is packed by method {method}, which is not read")))
        }
    }
    .map_err(|error| error.at(&entry.name))
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

/// Reads every local header and checks that the records lie one after the other from byte 0 to the directory.
fn locate_data(
    file: &mut (impl Read + Seek),
    headers: &mut [CentralHeader],
    directory_offset: u64,
) -> Result<(), ZipError> {
    headers.sort_by_key(|header| header.header_offset);
    let mut end_of_last = 0;
    let mut gap_allowed = 0;
    for header in headers.iter_mut() {
        check_gap(end_of_last, header.header_offset, gap_allowed).map_err(|error| error.at(&header.entry.name))?;
        let data_offset = header.read_local(file).map_err(|error| error.at(&header.entry.name))?;
        end_of_last = data_offset
            .checked_add(header.entry.packed_size)
            .filter(|&end| end <= directory_offset)
            .ok_or_else(|| {
                ZipError::damaged(format!(
                    "the entry of {} bytes does not lie inside the file",
                    header.entry.packed_size
                ))
                .at(&header.entry.name)
            })?;
        header.entry.data_offset = data_offset;
        gap_allowed = if header.has_descriptor() { LONGEST_DESCRIPTOR } else { 0 };
    }
    check_gap(end_of_last, directory_offset, gap_allowed)
}

fn check_gap(end: u64, next: u64, allowed: u64) -> Result<(), ZipError> {
    match next.checked_sub(end) {
        None => Err(ZipError::refused("the entry overlaps the one before it")),
        Some(gap) if gap > allowed => {
            Err(ZipError::refused(format!("{gap} bytes at {end} in the zip belong to no entry")))
        }
        Some(_) => Ok(()),
    }
}

//! The end of a zip: where its central directory is, on one or both of its end records.

use std::io::{Read, Seek};

use super::fields::Fields;
use super::{ZipError, read_at};

/// Bytes of the end record without a comment.
const END_RECORD: u64 = 22;
/// Bytes of the record that tells where the zip64 end record is.
const ZIP64_LOCATOR: u64 = 20;
/// Bytes of the zip64 end record.
const ZIP64_END_RECORD: u64 = 56;

/// Where the central directory is.
pub(super) struct EndRecord {
    pub entries: u64,
    pub directory_offset: u64,
    pub directory_size: u64,
}

impl EndRecord {
    /// Reads the end records of a file of `length` bytes; all that there are must agree.
    pub(super) fn read(file: &mut (impl Read + Seek), length: u64) -> Result<Self, ZipError> {
        let start = length
            .checked_sub(END_RECORD)
            .ok_or_else(|| ZipError::damaged(format!("the file has {length} bytes, too few for a zip")))?;
        let bytes = read_at(file, start, END_RECORD)?;
        if !bytes.starts_with(b"PK\x05\x06") {
            return Err(missing_end_record(file, length));
        }
        let small = Self::parse(&bytes).ok_or_else(|| {
            ZipError::refused("the zip has a comment or is split over several disks, which is not read")
        })?;
        let (end, end_start) = match read_zip64_end(file, start)? {
            None => (small, start),
            Some(large) => {
                small.agrees_with(&large)?;
                (large, start - ZIP64_LOCATOR - ZIP64_END_RECORD)
            }
        };
        match end.directory_offset.checked_add(end.directory_size) {
            Some(directory_end) if directory_end == end_start => Ok(end),
            Some(directory_end) if directory_end < end_start => Err(ZipError::refused(format!(
                "{} bytes before or behind the directory of the zip belong to nothing",
                end_start - directory_end
            ))),
            _ => Err(ZipError::damaged("the directory of the zip does not lie inside the file")),
        }
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields::new(bytes);
        fields.take(4)?;
        let disks = (fields.u16()?, fields.u16()?);
        let entries_here = fields.u16()?;
        let entries = fields.u16()?;
        let directory_size = fields.u32()?;
        let directory_offset = fields.u32()?;
        let comment_length = fields.u16()?;
        let one_disk = matches!(disks, (0, 0) | (u16::MAX, u16::MAX)) && entries_here == entries;
        (one_disk && comment_length == 0).then_some(Self {
            entries: entries.into(),
            directory_offset: directory_offset.into(),
            directory_size: directory_size.into(),
        })
    }

    /// Each field is equal to the one of the zip64 record or says "look there".
    fn agrees_with(&self, large: &Self) -> Result<(), ZipError> {
        let agree = |small: u64, large: u64, elsewhere: u64| small == large || small == elsewhere;
        if agree(self.entries, large.entries, u16::MAX.into())
            && agree(self.directory_offset, large.directory_offset, u32::MAX.into())
            && agree(self.directory_size, large.directory_size, u32::MAX.into())
        {
            Ok(())
        } else {
            Err(ZipError::refused("the two end records of the zip contradict each other"))
        }
    }
}

fn missing_end_record(file: &mut (impl Read + Seek), length: u64) -> ZipError {
    let tail_length = length.min(65_536 + END_RECORD);
    match read_at(file, length - tail_length, tail_length) {
        Ok(tail) if tail.windows(4).any(|window| window == b"PK\x05\x06") => {
            ZipError::refused("something follows the end of the zip, a comment or appended bytes, which is not read")
        }
        Ok(_) => ZipError::damaged("the end of the zip is missing: the file was cut off"),
        Err(error) => error,
    }
}

/// The zip64 end record, when its locator lies directly before the end record at `end_start`.
fn read_zip64_end(file: &mut (impl Read + Seek), end_start: u64) -> Result<Option<EndRecord>, ZipError> {
    let Some(record_start) = end_start.checked_sub(ZIP64_LOCATOR + ZIP64_END_RECORD) else {
        return Ok(None);
    };
    let bytes = read_at(file, record_start, ZIP64_END_RECORD + ZIP64_LOCATOR)?;
    let (record, locator) = bytes.split_at(ZIP64_END_RECORD as usize);
    if !locator.starts_with(b"PK\x06\x07") {
        return Ok(None);
    }
    parse_zip64_end(record, locator, record_start)
        .map(Some)
        .ok_or_else(|| ZipError::damaged("the zip64 end record is damaged"))
}

fn parse_zip64_end(record: &[u8], locator: &[u8], record_start: u64) -> Option<EndRecord> {
    let mut fields = Fields::new(locator);
    fields.take(4)?;
    let locator_fits = (fields.u32()?, fields.u64()?, fields.u32()?) == (0, record_start, 1);

    let mut fields = Fields::new(record);
    let signature_fits = fields.take(4)? == b"PK\x06\x06";
    let size_fits = fields.u64()? == ZIP64_END_RECORD - 12;
    let _versions = (fields.u16()?, fields.u16()?);
    let one_disk = (fields.u32()?, fields.u32()?) == (0, 0);
    let entries_here = fields.u64()?;
    let entries = fields.u64()?;
    let directory_size = fields.u64()?;
    let directory_offset = fields.u64()?;
    (locator_fits && signature_fits && size_fits && one_disk && entries_here == entries).then_some(EndRecord {
        entries,
        directory_offset,
        directory_size,
    })
}

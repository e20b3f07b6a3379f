//! Writes the zip that PyTorch reads: records one behind the other, each with its bytes at a multiple of 64.
//!
//! PyTorch maps tensors straight from the file, so it pads each local header by an extra field `FB` until the bytes are
//! aligned; no library's writer does it in this way.

use std::io::{self, Seek, Write};

use flate2::Crc;

/// PyTorch's alignment of a record's bytes.
const ALIGNMENT: u64 = 64;
const LOCAL_HEADER: u64 = 30;
/// Names are in UTF-8.
const FLAGS: u16 = 1 << 11;
/// 1 January 1980, which is PyTorch's date of every record.
const DATE: u16 = 1 << 5 | 1;
const PADDING_FIELD: [u8; 2] = *b"FB";
const SIZES_FIELD: u16 = 1;
/// What stands in a header for a number that does not fit.
const LARGE: u32 = u32::MAX;

/// A zip that grows record by record.
pub(super) struct ZipWriter<W> {
    target: W,
    position: u64,
    directory: Vec<u8>,
    entries: u64,
}

/// How a record's bytes are packed, and what they unpack to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packing {
    /// 0: stored, 8: deflated.
    pub method: u16,
    pub size: u64,
    pub crc32: u32,
}

impl<W: Write + Seek> ZipWriter<W> {
    pub(super) fn new(target: W) -> Self {
        Self { target, position: 0, directory: Vec::new(), entries: 0 }
    }

    /// Writes a record as it is.
    pub(super) fn store(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut sum = Crc::new();
        sum.update(bytes);
        self.pack(name, Packing { method: 0, size: bytes.len() as u64, crc32: sum.sum() }, bytes)
    }

    /// Writes a record whose bytes are packed already.
    pub(super) fn pack(&mut self, name: &str, packing: Packing, packed: &[u8]) -> io::Result<()> {
        self.copy(name, packing, packed.len() as u64, packed)
    }

    /// Writes a record of `length` packed bytes from a stream.
    pub(super) fn copy(&mut self, name: &str, packing: Packing, length: u64, packed: impl io::Read) -> io::Result<()> {
        let name_length = u16::try_from(name.len()).map_err(io::Error::other)?;
        let header_at = self.position;
        let is_large = packing.size >= u64::from(LARGE) || length >= u64::from(LARGE);
        let sizes = if is_large { sizes_field(&[packing.size, length]) } else { Vec::new() };
        let before = header_at + LOCAL_HEADER + u64::from(name_length) + sizes.len() as u64 + 4;
        let padding = before.next_multiple_of(ALIGNMENT) - before;

        let mut header = Vec::new();
        header.extend_from_slice(b"PK\x03\x04");
        let common = self.common(packing, length, name_length, is_large);
        header.extend_from_slice(&common);
        header.extend_from_slice(&((sizes.len() as u64 + 4 + padding) as u16).to_le_bytes());
        header.extend_from_slice(name.as_bytes());
        header.extend_from_slice(&sizes);
        header.extend_from_slice(&PADDING_FIELD);
        header.extend_from_slice(&(padding as u16).to_le_bytes());
        header.resize(header.len() + padding as usize, b'Z');
        self.write(&header)?;
        let copied = io::copy(&mut packed.take(length), &mut self.target)?;
        if copied != length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.position += length;

        let mut large = Vec::new();
        if is_large {
            large.extend([packing.size, length]);
        }
        let is_far = header_at >= u64::from(LARGE);
        if is_far {
            large.push(header_at);
        }
        let extra = if large.is_empty() { Vec::new() } else { sizes_field(&large) };
        self.directory.extend_from_slice(b"PK\x01\x02\0\0");
        self.directory.extend_from_slice(&common);
        self.directory.extend_from_slice(&(extra.len() as u16).to_le_bytes());
        // No comment, disk 0, no attributes.
        self.directory.extend_from_slice(&[0; 10]);
        let at = if is_far { LARGE } else { header_at as u32 };
        self.directory.extend_from_slice(&at.to_le_bytes());
        self.directory.extend_from_slice(name.as_bytes());
        self.directory.extend_from_slice(&extra);
        self.entries += 1;
        Ok(())
    }

    /// What both headers of a record have: from the version that reads it to the length of its name.
    fn common(&self, packing: Packing, length: u64, name_length: u16, is_large: bool) -> Vec<u8> {
        let mut fields = Vec::new();
        let far = is_large || self.position >= u64::from(LARGE);
        fields.extend_from_slice(&(if far { 45_u16 } else { 20 }).to_le_bytes());
        for field in [FLAGS, packing.method, 0, DATE] {
            fields.extend_from_slice(&field.to_le_bytes());
        }
        let [packed, unpacked] = if is_large { [LARGE; 2] } else { [length as u32, packing.size as u32] };
        for field in [packing.crc32, packed, unpacked] {
            fields.extend_from_slice(&field.to_le_bytes());
        }
        fields.extend_from_slice(&name_length.to_le_bytes());
        fields
    }

    /// Writes the directory.
    pub(super) fn finish(mut self) -> io::Result<W> {
        let at = self.position;
        let directory = std::mem::take(&mut self.directory);
        self.write(&directory)?;
        let size = directory.len() as u64;
        let is_large = at >= u64::from(LARGE) || size >= u64::from(LARGE) || self.entries >= u64::from(u16::MAX);
        let mut end = Vec::new();
        if is_large {
            end.extend_from_slice(b"PK\x06\x06");
            end.extend_from_slice(&44_u64.to_le_bytes());
            end.extend_from_slice(&[45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            for field in [self.entries, self.entries, size, at] {
                end.extend_from_slice(&field.to_le_bytes());
            }
            end.extend_from_slice(b"PK\x06\x07\0\0\0\0");
            end.extend_from_slice(&self.position.to_le_bytes());
            end.extend_from_slice(&1_u32.to_le_bytes());
        }
        end.extend_from_slice(b"PK\x05\x06\0\0\0\0");
        let entries = if is_large { u16::MAX } else { self.entries as u16 };
        let [size, at] = if is_large { [LARGE; 2] } else { [size as u32, at as u32] };
        end.extend_from_slice(&entries.to_le_bytes());
        end.extend_from_slice(&entries.to_le_bytes());
        end.extend_from_slice(&size.to_le_bytes());
        end.extend_from_slice(&at.to_le_bytes());
        end.extend_from_slice(&[0; 2]);
        self.write(&end)?;
        self.target.flush()?;
        Ok(self.target)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.target.write_all(bytes)?;
        self.position += bytes.len() as u64;
        Ok(())
    }
}

/// The extra field with numbers that do not fit into the header.
fn sizes_field(numbers: &[u64]) -> Vec<u8> {
    let mut field = SIZES_FIELD.to_le_bytes().to_vec();
    field.extend_from_slice(&(8 * numbers.len() as u16).to_le_bytes());
    field.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    field
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::untrusted::zip::{Directory, DirectoryLimits, check_sum, read_entry};

    #[test]
    fn what_is_written_has_one_reading_and_lies_at_multiples_of_64() {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        let records = [("model/data/0", vec![7_u8; 1000]), ("model/version", b"3\n".to_vec()), ("model/é", Vec::new())];
        for (name, bytes) in &records {
            writer.store(name, bytes).unwrap();
        }
        let mut file = writer.finish().unwrap();
        let limits = DirectoryLimits { entries: 10, directory: 10_000 };
        let directory = Directory::read(&mut file, limits).unwrap();
        assert_eq!(directory.len(), records.len());
        for (entry, (name, bytes)) in directory.entries().zip(&records) {
            assert_eq!((entry.name, entry.data_offset % ALIGNMENT), (*name, 0));
            check_sum(&mut file, entry).unwrap();
            assert_eq!(&read_entry(&mut file, entry).unwrap(), bytes);
        }
    }
}

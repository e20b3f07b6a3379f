//! The two headers of a zip entry, central and local, and what a name may be.

use std::io::{Read, Seek};

use super::{Entry, Method, ZipError, read_at};
use crate::archive::fields::Fields;

/// Bytes of a local header without name and extra fields.
const LOCAL_HEADER: u64 = 30;
const FLAG_DESCRIPTOR: u16 = 1 << 3;
/// Compression level (1, 2), data descriptor (3), names in UTF-8 (11).
const KNOWN_FLAGS: u16 = 1 << 1 | 1 << 2 | FLAG_DESCRIPTOR | 1 << 11;
const FLAG_ENCRYPTED: u16 = 1;

const LONGEST_NAME: usize = 1024;

/// An entry of the central directory; `entry.data_offset` is set when its local header was read.
pub(super) struct CentralHeader {
    pub entry: Entry,
    pub header_offset: u64,
    flags: u16,
}

impl CentralHeader {
    pub(super) fn read(fields: &mut Fields, number: u64) -> Result<Self, ZipError> {
        let cut_off = || ZipError::damaged(format!("entry {number} of the zip directory is damaged"));
        let header = RawCentralHeader::parse(fields).ok_or_else(cut_off)?;
        let name = entry_name(header.name)?;
        Self::from_raw(&header, name).map_err(|error| error.at(name))
    }

    fn from_raw(header: &RawCentralHeader, name: &str) -> Result<Self, ZipError> {
        if header.flags & FLAG_ENCRYPTED != 0 {
            return Err(ZipError::refused("the entry is encrypted"));
        }
        if header.flags & !KNOWN_FLAGS != 0 {
            return Err(ZipError::refused(format!("the zip flags {:#06x} are not read", header.flags)));
        }
        if header.has_comment || header.disk != 0 {
            return Err(ZipError::refused("the entry has a comment or lies on another disk"));
        }
        // The upper half of the attributes is the Unix mode: 0 or a regular file, never a link or a device.
        let file_type = (header.attributes >> 16) & 0o170000;
        if file_type == 0o120000 {
            return Err(ZipError::refused("the entry is a symbolic link"));
        }
        if !matches!(file_type, 0 | 0o100000) {
            return Err(ZipError::refused("the entry is not a regular file"));
        }

        let mut sizes = Zip64Sizes {
            size: header.size.into(),
            packed_size: header.packed_size.into(),
            offset: header.offset.into(),
        };
        sizes.fill_in(header.extra)?;
        let method = match header.method {
            0 => Method::Stored,
            8 => Method::Deflated,
            other => Method::Other(other),
        };
        if method == Method::Stored && sizes.size != sizes.packed_size {
            return Err(ZipError::damaged(format!(
                "the entry is stored, but {} bytes become {}",
                sizes.packed_size, sizes.size
            )));
        }
        let entry = Entry {
            name: name.to_owned(),
            method,
            size: sizes.size,
            packed_size: sizes.packed_size,
            crc32: header.crc32,
            data_offset: 0,
        };
        Ok(Self { entry, flags: header.flags, header_offset: sizes.offset })
    }

    /// Whether the sizes may be repeated behind the data.
    pub(super) fn has_descriptor(&self) -> bool {
        self.flags & FLAG_DESCRIPTOR != 0
    }

    /// Where the data starts, from a local header that agrees with the central one.
    pub(super) fn read_local(&self, file: &mut (impl Read + Seek)) -> Result<u64, ZipError> {
        let name = self.entry.name.as_bytes();
        let fixed_length = LOCAL_HEADER + name.len() as u64;
        let bytes = read_at(file, self.header_offset, fixed_length)?;
        let contradicts = || ZipError::refused("the two headers of the entry contradict each other");
        let local = RawLocalHeader::parse(&bytes, name.len()).ok_or_else(contradicts)?;
        if local.signature != b"PK\x03\x04" {
            return Err(ZipError::damaged("the header of the entry is missing"));
        }
        let method = match self.entry.method {
            Method::Stored => 0,
            Method::Deflated => 8,
            Method::Other(other) => other,
        };
        if local.flags != self.flags || local.method != method || local.name != Some(name) {
            return Err(contradicts());
        }
        let extra_length = u64::from(local.extra_length);
        if !self.has_descriptor() {
            let extra = read_at(file, self.header_offset + fixed_length, extra_length)?;
            // The offset is not part of a local header.
            let mut sizes = Zip64Sizes { size: local.size.into(), packed_size: local.packed_size.into(), offset: 0 };
            sizes.fill_in(&extra)?;
            if (sizes.size, sizes.packed_size, local.crc32)
                != (self.entry.size, self.entry.packed_size, self.entry.crc32)
            {
                return Err(contradicts());
            }
        }
        Ok(self.header_offset + fixed_length + extra_length)
    }
}

struct RawCentralHeader<'a> {
    flags: u16,
    method: u16,
    crc32: u32,
    packed_size: u32,
    size: u32,
    disk: u16,
    attributes: u32,
    offset: u32,
    name: &'a [u8],
    extra: &'a [u8],
    has_comment: bool,
}

impl<'a> RawCentralHeader<'a> {
    fn parse(fields: &mut Fields<'a>) -> Option<Self> {
        if fields.take(4)? != b"PK\x01\x02" {
            return None;
        }
        let _versions = (fields.u16()?, fields.u16()?);
        let (flags, method) = (fields.u16()?, fields.u16()?);
        let _time = fields.u32()?;
        let (crc32, packed_size, size) = (fields.u32()?, fields.u32()?, fields.u32()?);
        let (name_length, extra_length, comment_length) = (fields.u16()?, fields.u16()?, fields.u16()?);
        let disk = fields.u16()?;
        let _internal_attributes = fields.u16()?;
        let (attributes, offset) = (fields.u32()?, fields.u32()?);
        let name = fields.take(name_length.into())?;
        let extra = fields.take(extra_length.into())?;
        fields.take(comment_length.into())?;
        let has_comment = comment_length > 0;
        Some(Self { flags, method, crc32, packed_size, size, disk, attributes, offset, name, extra, has_comment })
    }
}

struct RawLocalHeader<'a> {
    signature: &'a [u8],
    flags: u16,
    method: u16,
    crc32: u32,
    packed_size: u32,
    size: u32,
    extra_length: u16,
    /// `None` when the name has another length than in the central header.
    name: Option<&'a [u8]>,
}

impl<'a> RawLocalHeader<'a> {
    fn parse(bytes: &'a [u8], expected_name_length: usize) -> Option<Self> {
        let mut fields = Fields::new(bytes);
        let signature = fields.take(4)?;
        let _version = fields.u16()?;
        let (flags, method) = (fields.u16()?, fields.u16()?);
        let _time = fields.u32()?;
        let (crc32, packed_size, size) = (fields.u32()?, fields.u32()?, fields.u32()?);
        let (name_length, extra_length) = (fields.u16()?, fields.u16()?);
        let name = fields.take(name_length.into()).filter(|name| name.len() == expected_name_length);
        Some(Self { signature, flags, method, crc32, packed_size, size, extra_length, name })
    }
}

/// Sizes and offset of an entry; those that are all ones stand in the zip64 extra field.
struct Zip64Sizes {
    size: u64,
    packed_size: u64,
    offset: u64,
}

impl Zip64Sizes {
    fn fill_in(&mut self, extra: &[u8]) -> Result<(), ZipError> {
        let damaged = || ZipError::damaged("the extra fields of the entry are damaged");
        let mut fields = Fields::new(extra);
        let mut seen = false;
        while !fields.is_empty() {
            let id = fields.u16().ok_or_else(damaged)?;
            let length = fields.u16().ok_or_else(damaged)?;
            let content = fields.take(length.into()).ok_or_else(damaged)?;
            match id {
                0x0001 if seen => return Err(damaged()),
                0x0001 => {
                    seen = true;
                    let mut large = Fields::new(content);
                    for value in [&mut self.size, &mut self.packed_size, &mut self.offset] {
                        if *value == u64::from(u32::MAX) {
                            *value = large.u64().ok_or_else(damaged)?;
                        }
                    }
                }
                0x7075 => return Err(ZipError::refused("the entry has a second name in its extra fields")),
                _ => {}
            }
        }
        Ok(())
    }
}

/// A name that means the same file to everyone: relative, UTF-8, without `.`, `..`, `\` or control characters.
fn entry_name(bytes: &[u8]) -> Result<&str, ZipError> {
    let name = std::str::from_utf8(bytes)
        .map_err(|_| ZipError::refused(format!("the entry name `{}` is not UTF-8", bytes.escape_ascii())))?;
    if name.len() > LONGEST_NAME {
        let start: String = name.chars().take(40).collect();
        return Err(ZipError::refused(format!(
            "the entry name `{start}…` has {} bytes, at most {LONGEST_NAME} are read",
            name.len()
        )));
    }
    let refused = |reason: &str| Err(ZipError::refused(format!("the entry name {name:?} {reason}")).at(name));
    if name.is_empty() {
        return refused("is empty");
    }
    if name.chars().any(char::is_control) {
        return refused("has control characters");
    }
    if name.contains('\\') {
        return refused("has a backslash");
    }
    if name.starts_with('/') || name.as_bytes().get(1) == Some(&b':') {
        return refused("is absolute");
    }
    if name.ends_with('/') {
        return refused("is a folder; only files are read");
    }
    if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return refused("has an empty, `.` or `..` part");
    }
    Ok(name)
}

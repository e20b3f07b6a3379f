//! The two headers of a zip entry, central and local, and what a name may be.

use std::io::{BufReader, Read, Seek};

use super::fields::Fields;
use super::{Compression, Contents, Entry, ZipError, unreadable};
use crate::plain_text::{hidden_character, quoted};

/// Bytes of a central directory entry without name and extra fields.
pub(super) const CENTRAL_HEADER: u64 = 46;
/// Enough for the headers of many small records, and little to read in vain between large ones.
const LOCAL_BUFFER: usize = 4 << 10;
/// Bytes of a local header without name and extra fields.
const LOCAL_HEADER: usize = 30;
const FLAG_DESCRIPTOR: u16 = 1 << 3;
/// Compression level (1, 2), data descriptor (3), names in UTF-8 (11).
const KNOWN_FLAGS: u16 = 1 << 1 | 1 << 2 | FLAG_DESCRIPTOR | 1 << 11;
const FLAG_ENCRYPTED: u16 = 1;

const LONGEST_NAME: usize = 1024;

/// An entry as the central directory has it.
pub(super) struct CentralHeader {
    pub name: String,
    pub method: Compression,
    pub size: u64,
    pub packed_size: u64,
    pub crc32: u32,
    pub flags: u16,
    pub header_offset: u64,
}

/// Whether the sizes may be repeated behind the data.
pub(super) fn has_descriptor(flags: u16) -> bool {
    flags & FLAG_DESCRIPTOR != 0
}

impl CentralHeader {
    /// Reads the entry `number` of the central directory.
    pub(super) fn read(directory: &mut impl Read, number: u64, contents: Contents) -> Result<Self, ZipError> {
        let damaged = || ZipError::damaged(format!("entry {number} of the zip directory is damaged"));
        let mut fixed = [0; CENTRAL_HEADER as usize];
        directory.read_exact(&mut fixed).map_err(|_| damaged())?;
        let header = RawCentralHeader::parse(&fixed).ok_or_else(damaged)?;
        let mut take = |length: u16| {
            let mut bytes = vec![0; length.into()];
            directory.read_exact(&mut bytes).map(|()| bytes).map_err(|_| damaged())
        };
        let name = entry_name(take(header.name_length)?, contents)?;
        let extra = take(header.extra_length)?;
        let is_folder = contents == Contents::Folder && name.ends_with('/');
        match Self::from_raw(&header, &extra, is_folder) {
            Ok(read) => Ok(Self { name, ..read }),
            Err(error) => Err(error.at(&name)),
        }
    }

    fn from_raw(header: &RawCentralHeader, extra: &[u8], is_folder: bool) -> Result<Self, ZipError> {
        if header.flags & FLAG_ENCRYPTED != 0 {
            return Err(ZipError::refused("the entry is encrypted; plain entries are read"));
        }
        if header.flags & !KNOWN_FLAGS != 0 {
            return Err(ZipError::refused(format!(
                "the entry has the zip flags {:#06x}; none but {KNOWN_FLAGS:#06x} are read",
                header.flags
            )));
        }
        if header.comment_length > 0 || header.disk != 0 {
            return Err(ZipError::refused("the entry has a comment or lies on another disk; neither is read"));
        }
        // The upper half of the attributes is the Unix mode: 0 or a regular file, never a link or a device.
        let file_type = (header.attributes >> 16) & 0o170_000;
        if file_type == 0o120_000 {
            return Err(ZipError::refused("the entry is a symbolic link; regular files are read"));
        }
        let is_expected = matches!(file_type, 0 | 0o100_000) || is_folder && file_type == 0o040_000;
        if !is_expected {
            return Err(ZipError::refused("the entry is a device, a folder or a pipe; a regular file is read"));
        }

        let mut sizes = Zip64Sizes {
            size: header.size.into(),
            packed_size: header.packed_size.into(),
            offset: header.offset.into(),
        };
        sizes.fill_in(extra)?;
        let method = match header.method {
            0 => Compression::Stored,
            8 => Compression::Deflated,
            other => Compression::Other(other),
        };
        if method == Compression::Stored && sizes.size != sizes.packed_size {
            return Err(ZipError::damaged(format!(
                "the entry is stored, but {} bytes become {}",
                sizes.packed_size, sizes.size
            )));
        }
        Ok(Self {
            name: String::new(),
            method,
            size: sizes.size,
            packed_size: sizes.packed_size,
            crc32: header.crc32,
            flags: header.flags,
            header_offset: sizes.offset,
        })
    }
}

/// Reads at rising offsets, through a buffer that stays while the next offset is near.
pub(super) struct LocalReader<R> {
    file: BufReader<R>,
    position: u64,
}

impl<R: Read + Seek> LocalReader<R> {
    /// Starts at byte 0, where `file` is.
    pub(super) fn new(file: R) -> Self {
        Self { file: BufReader::with_capacity(LOCAL_BUFFER, file), position: 0 }
    }

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), ZipError> {
        let distance = offset.wrapping_sub(self.position) as i64;
        self.file.seek_relative(distance).map_err(unreadable)?;
        self.file
            .read_exact(buffer)
            .map_err(|_| ZipError::damaged(format!("the file ends inside a header of {} bytes", buffer.len())))?;
        self.position = offset + buffer.len() as u64;
        Ok(())
    }
}

/// Where the data starts, from a local header at `offset` that agrees with the central one.
pub(super) fn read_local<R: Read + Seek>(
    file: &mut LocalReader<R>,
    offset: u64,
    central: Entry,
    flags: u16,
) -> Result<u64, ZipError> {
    let contradicts = || ZipError::refused("the two headers of the entry contradict each other");
    let name = central.name.as_bytes();
    let mut buffer = [0; LOCAL_HEADER + LONGEST_NAME];
    let bytes = &mut buffer[..LOCAL_HEADER + name.len()];
    file.read_at(offset, bytes)?;
    let local = RawLocalHeader::parse(bytes, name.len()).ok_or_else(contradicts)?;
    if local.signature != b"PK\x03\x04" {
        return Err(ZipError::damaged("the header of the entry is missing"));
    }
    let method = match central.method {
        Compression::Stored => 0,
        Compression::Deflated => 8,
        Compression::Other(other) => other,
    };
    if local.flags != flags || local.method != method || local.name != Some(name) {
        return Err(contradicts());
    }
    let extra_offset = offset + (LOCAL_HEADER + name.len()) as u64;
    if !has_descriptor(flags) {
        let mut extra = vec![0; local.extra_length.into()];
        file.read_at(extra_offset, &mut extra)?;
        // The offset is not part of a local header.
        let mut sizes = Zip64Sizes { size: local.size.into(), packed_size: local.packed_size.into(), offset: 0 };
        sizes.fill_in(&extra)?;
        if (sizes.size, sizes.packed_size, local.crc32) != (central.size, central.packed_size, central.crc32) {
            return Err(contradicts());
        }
    }
    Ok(extra_offset + u64::from(local.extra_length))
}

/// The part of a central header that has the same length in every entry.
struct RawCentralHeader {
    flags: u16,
    method: u16,
    crc32: u32,
    packed_size: u32,
    size: u32,
    name_length: u16,
    extra_length: u16,
    comment_length: u16,
    disk: u16,
    attributes: u32,
    offset: u32,
}

impl RawCentralHeader {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields::new(bytes);
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
        Some(Self {
            flags,
            method,
            crc32,
            packed_size,
            size,
            name_length,
            extra_length,
            comment_length,
            disk,
            attributes,
            offset,
        })
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
        let name =
            (usize::from(name_length) == expected_name_length).then(|| fields.take(name_length.into())).flatten();
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

/// A name that means the same file to everyone and prints as what it is: relative, UTF-8, without `.`, `..`, `\` or
/// characters that nobody sees.
fn entry_name(bytes: Vec<u8>, contents: Contents) -> Result<String, ZipError> {
    let name = String::from_utf8(bytes).map_err(|error| {
        let bytes = &error.as_bytes()[..error.as_bytes().len().min(LONGEST_NAME)];
        ZipError::refused(format!("the entry name `{}` is not UTF-8", bytes.escape_ascii()))
    })?;
    let refused = |reason: &str| {
        let error = ZipError::refused(format!("the entry name {} {reason}", quoted(&name)));
        Err(if hidden_character(&name).is_none() { error.at(&name) } else { error })
    };
    if name.len() > LONGEST_NAME {
        let start: String = name.chars().take(40).collect();
        return Err(ZipError::refused(format!(
            "the entry name that starts with {} has {} bytes; at most {LONGEST_NAME} are read",
            quoted(&start),
            name.len()
        )));
    }
    if name.is_empty() {
        return refused("is empty");
    }
    if name.chars().any(char::is_control) {
        return refused("has control characters");
    }
    if let Some(character) = hidden_character(&name) {
        return refused(&format!("has the character U+{:04X}, which is not shown", u32::from(character)));
    }
    if name.contains('\\') {
        return refused("has a backslash");
    }
    if name.starts_with('/') || name.as_bytes().get(1) == Some(&b':') {
        return refused("is absolute");
    }
    if contents == Contents::Records && name.ends_with('/') {
        return refused("is a folder; only files are read");
    }
    if name.strip_suffix('/').unwrap_or(&name).split('/').any(|part| matches!(part, "" | "." | "..")) {
        return refused("has an empty, `.` or `..` part");
    }
    Ok(name)
}

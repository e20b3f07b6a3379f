//! The two file formats: both come down to a list of named arrays, of which only headers are read here.

use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use safetensors::tensor::Metadata;

use super::array::{Array, Location};
use super::number_type::NumberType;
use super::{Format, invalid};
use crate::plain_text::{escaped, hidden_character, quoted};
use crate::rejection::Rejection;
use crate::untrusted::npy;
use crate::untrusted::zip::{Compression, Directory, DirectoryLimits, Entry};

const ZIP_LIMITS: DirectoryLimits = DirectoryLimits { entries: 64, directory: 1 << 20 };
/// A compressed array may unpack to this many times its size and [`FREE_EXPANSION`] bytes; no data set of use does.
const MAX_EXPANSION: u64 = 100;
const FREE_EXPANSION: u64 = 64 << 20;
const LONGEST_SAFETENSORS_HEADER: u64 = 1 << 20;
const LONGEST_NAME: usize = 1024;

const FORMAT_HINT: &str = "Save the data set in Python with `np.savez_compressed(\"data.npz\", x=x, y=y)`.";

/// Recognises the format by content and reads the headers of all arrays.
pub(super) fn read_arrays(file: &Arc<File>) -> Result<(Format, Vec<Array>), Rejection> {
    let unreadable = |error: std::io::Error| invalid(format!("The file could not be read: {error}."));
    let length = file.metadata().map_err(unreadable)?.len();
    let mut head = Vec::new();
    Location::Plain { offset: 0, length: length.min(512) }.reader(file).read_to_end(&mut head).map_err(unreadable)?;

    if head.starts_with(b"PK\x03\x04") {
        return Ok((Format::Npz, read_npz(file)?));
    }
    if head.get(8) == Some(&b'{') {
        return Ok((Format::Safetensors, read_safetensors(file, &head, length)?));
    }
    Err(invalid(format!("The file is {}; `.npz` or `.safetensors` is needed.", describe(&head))).hint(FORMAT_HINT))
}

fn describe(head: &[u8]) -> &'static str {
    match head {
        [] => "empty",
        [b'P', b'K', 5, 6, ..] => "an empty zip",
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => "a single NumPy array",
        [0x80, 2..=5, ..] => "a pickle, which is never read",
        [0x89, b'H', b'D', b'F', ..] => "an HDF5 file",
        [0x1f, 0x8b, ..] => "packed with gzip",
        [b'P', b'A', b'R', b'1', ..] => "a Parquet file",
        _ if head.get(257..262) == Some(b"ustar") => "a tar archive",
        _ => "neither",
    }
}

fn read_npz(file: &Arc<File>) -> Result<Vec<Array>, Rejection> {
    let directory = Directory::read(&mut file.as_ref(), ZIP_LIMITS).map_err(|error| {
        let rejection = invalid(error.sentence());
        match error.entry {
            Some(entry) => rejection.at(entry),
            None => rejection,
        }
    })?;
    if directory.entries().any(|entry| entry.name.ends_with("/data.pkl")) {
        return Err(invalid("The file is an archive of PyTorch; `.npz` or `.safetensors` is needed.")
            .hint("Upload a network as the model, and the arrays it is trained on as the data set."));
    }
    directory.entries().map(|entry| read_member(file, entry)).collect()
}

fn read_member(file: &Arc<File>, entry: Entry) -> Result<Array, Rejection> {
    let Some(name) = entry.name.strip_suffix(".npy") else {
        return Err(invalid(format!(
            "The zip has an entry `{}`, which is no `.npy` array; nothing else is allowed.",
            entry.name
        ))
        .at(entry.name)
        .hint(FORMAT_HINT));
    };
    let deflated = match entry.method {
        Compression::Stored => false,
        Compression::Deflated => true,
        Compression::Other(method) => {
            return Err(invalid(format!(
                "`{name}` is packed by zip method {method}; 0 (stored) and 8 (deflated) are read."
            ))
            .at(name)
            .hint(FORMAT_HINT));
        }
    };
    if entry.size > entry.packed_size.saturating_mul(MAX_EXPANSION).saturating_add(FREE_EXPANSION) {
        return Err(invalid(format!(
            "`{name}` unpacks from {} to {} bytes; at most {MAX_EXPANSION} times its size and {FREE_EXPANSION} bytes are allowed.",
            entry.packed_size, entry.size
        ))
        .at(name)
        .hint("Save it uncompressed, with `np.savez`."));
    }
    let member = |header| Location::Member {
        offset: entry.data_offset,
        packed_size: entry.packed_size,
        size: entry.size,
        deflated,
        crc32: entry.crc32,
        header,
    };
    let header = npy::read_header(&mut member(0).reader(file)).map_err(|error| {
        let rejection = invalid(format!("`{name}` {}.", error.what)).at(name);
        match error.hint {
            Some(hint) => rejection.hint(hint),
            None => rejection,
        }
    })?;
    // A header that was read lies inside the member.
    let bytes = entry.size.saturating_sub(header.bytes);
    Array::new(name.to_owned(), NumberType::of_npy(header.number), header.shape, member(header.bytes), bytes)
}

fn read_safetensors(file: &Arc<File>, head: &[u8], length: u64) -> Result<Vec<Array>, Rejection> {
    let damaged = |what: String| invalid(format!("The safetensors file is damaged: {what}."));
    let header_length = head.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    if header_length > LONGEST_SAFETENSORS_HEADER || header_length > length.saturating_sub(8) {
        return Err(damaged(format!(
            "its header has {header_length} bytes; at most {LONGEST_SAFETENSORS_HEADER} and no more than the file are read"
        )));
    }
    let mut header = Vec::new();
    Location::Plain { offset: 8, length: header_length }
        .reader(file)
        .read_to_end(&mut header)
        .map_err(|error| damaged(error.to_string()))?;
    // The parser repeats what it did not expect, at any length.
    let metadata: Metadata = serde_json::from_slice(&header).map_err(|error| damaged(escaped(&error.to_string())))?;
    let data_start = 8 + header_length;
    if metadata.data_len() as u64 != length - data_start {
        return Err(damaged(format!(
            "its header describes {} bytes of arrays, but there are {}",
            metadata.data_len(),
            length - data_start
        )));
    }
    let mut arrays = Vec::new();
    for name in metadata.offset_keys() {
        check_name(&name)?;
        let info = metadata.info(&name).expect("the name comes from the same metadata");
        let number = NumberType::of_safetensors(info.dtype).ok_or_else(|| {
            invalid(format!("`{name}` has elements of type {:?}; integers or floats are needed.", info.dtype)).at(&name)
        })?;
        let (start, end) = info.data_offsets;
        let bytes = (end - start) as u64;
        let location = Location::Plain { offset: data_start + start as u64, length: bytes };
        arrays.push(Array::new(name, number, info.shape.clone(), location, bytes)?);
    }
    Ok(arrays)
}

/// The names of a zip were checked when it was read.
fn check_name(name: &str) -> Result<(), Rejection> {
    let fault = match hidden_character(name) {
        Some(character) => format!("has the character U+{:04X}, which is not shown", u32::from(character)),
        None if name.len() > LONGEST_NAME => format!("has {} bytes; at most {LONGEST_NAME} are read", name.len()),
        None => return Ok(()),
    };
    Err(invalid(format!("The name {} of an array {fault}.", quoted(name))))
}

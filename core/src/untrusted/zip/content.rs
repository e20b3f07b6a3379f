//! The bytes of an entry: as a stream, as a whole, or only summed up.

use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Take};

use flate2::Crc;
use flate2::bufread::DeflateDecoder;

use super::{Compression, Entry, ZipError, unreadable};

/// Bytes that are read from the file at a time.
const PIECE: usize = 64 << 10;

/// The unpacked bytes of an entry, in pieces; it ends after `entry.size` bytes whatever the packed ones say.
pub(crate) struct Content<'f, R: Read>(Take<Unpacked<'f, R>>);

enum Unpacked<'f, R: Read> {
    Stored(BufReader<Take<&'f mut R>>),
    /// With a buffer behind the decoder, for callers that read byte by byte.
    Deflated(BufReader<DeflateDecoder<BufReader<Take<&'f mut R>>>>),
}

impl<'f, R: Read + Seek> Content<'f, R> {
    /// Opens an entry at its first byte.
    pub(crate) fn open(file: &'f mut R, entry: Entry) -> Result<Self, ZipError> {
        Self::open_to(file, entry, entry.size)
    }

    fn open_to(file: &'f mut R, entry: Entry, limit: u64) -> Result<Self, ZipError> {
        file.seek(SeekFrom::Start(entry.data_offset)).map_err(|error| unreadable(error).at(entry.name))?;
        let packed =
            BufReader::with_capacity(PIECE.min(entry.packed_size as usize).max(1), file.take(entry.packed_size));
        let unpacked = match entry.method {
            Compression::Stored => Unpacked::Stored(packed),
            Compression::Deflated => Unpacked::Deflated(BufReader::with_capacity(PIECE, DeflateDecoder::new(packed))),
            Compression::Other(method) => {
                return Err(ZipError::refused(format!(
                    "the entry is packed by method {method}; 0 (stored) and 8 (deflated) are read"
                ))
                .at(entry.name));
            }
        };
        Ok(Self(unpacked.take(limit)))
    }
}

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl<R: Read> BufRead for Content<'_, R> {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        self.0.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.0.consume(count);
    }
}

impl<R: Read> Read for Unpacked<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Stored(content) => content.read(buffer),
            Self::Deflated(content) => content.read(buffer),
        }
    }
}

impl<R: Read> BufRead for Unpacked<'_, R> {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        match self {
            Self::Stored(content) => content.fill_buf(),
            Self::Deflated(content) => content.fill_buf(),
        }
    }

    fn consume(&mut self, count: usize) {
        match self {
            Self::Stored(content) => content.consume(count),
            Self::Deflated(content) => content.consume(count),
        }
    }
}

/// Reads the whole of an entry; the caller has bounded `entry.size`, which is never exceeded.
pub(crate) fn read_entry(file: &mut (impl Read + Seek), entry: Entry) -> Result<Vec<u8>, ZipError> {
    let mut bytes = Vec::new();
    Content::open(file, entry)?.read_to_end(&mut bytes).map_err(|error| not_unpacked(&error, entry))?;
    if bytes.len() as u64 == entry.size { Ok(bytes) } else { Err(other_size(entry)) }
}

/// Reads an entry piece by piece and checks its size and its CRC-32.
pub(crate) fn check_sum(file: &mut (impl Read + Seek), entry: Entry) -> Result<(), ZipError> {
    // One byte more than allowed, to see whether it is there.
    let mut content = Content::open_to(file, entry, entry.size.saturating_add(1))?;
    let mut sum = Crc::new();
    let mut size = 0;
    loop {
        let piece = content.fill_buf().map_err(|error| not_unpacked(&error, entry))?;
        if piece.is_empty() {
            break;
        }
        let length = piece.len();
        sum.update(piece);
        size += length as u64;
        content.consume(length);
    }
    if size != entry.size {
        return Err(other_size(entry));
    }
    if sum.sum() != entry.crc32 {
        return Err(ZipError::damaged(format!(
            "the checksum of the entry is wrong: its bytes have the CRC-32 {:08x}, its header says {:08x}",
            sum.sum(),
            entry.crc32
        ))
        .at(entry.name));
    }
    Ok(())
}

fn not_unpacked(error: &std::io::Error, entry: Entry) -> ZipError {
    ZipError::damaged(format!("the entry could not be unpacked: {error}")).at(entry.name)
}

fn other_size(entry: Entry) -> ZipError {
    ZipError::damaged(format!("the entry does not unpack to the {} bytes of its header", entry.size)).at(entry.name)
}

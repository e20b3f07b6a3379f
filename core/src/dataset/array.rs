//! One array of a data set: where it lies in the file, and reading it piece by piece.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use flate2::Crc;
use flate2::read::DeflateDecoder;

use super::invalid;
use super::number_type::NumberType;
use crate::rejection::Rejection;

/// Bytes that are read at a time; a multiple of every element's size.
const PIECE: usize = 256 << 10;
/// The most samples that one array may have; the order of a split is held in memory.
pub const MAX_SAMPLES: usize = 100_000_000;
const MAX_DIMENSIONS: usize = 32;

/// An array whose header was read.
#[derive(Debug, Clone)]
pub(super) struct Array {
    pub name: String,
    pub number: NumberType,
    /// The samples first.
    pub shape: Vec<usize>,
    pub location: Location,
}

/// The bytes of an array in the file.
#[derive(Debug, Clone)]
pub(super) enum Location {
    /// As they are, `length` bytes from `offset`.
    Plain { offset: u64, length: u64 },
    /// In a member of a zip, behind `header` bytes.
    Member { offset: u64, packed_size: u64, size: u64, deflated: bool, crc32: u32, header: u64 },
}

impl Array {
    /// Checks that the shape does not overflow and takes `bytes` bytes.
    pub(super) fn new(
        name: String,
        number: NumberType,
        shape: Vec<usize>,
        location: Location,
        bytes: u64,
    ) -> Result<Self, Rejection> {
        let invalid_shape = |what: String| Err(invalid(format!("`{name}` {what}.")).at(&name));
        if shape.len() > MAX_DIMENSIONS {
            return invalid_shape(format!("has {} dimensions; at most {MAX_DIMENSIONS} are read", shape.len()));
        }
        let expected = shape
            .iter()
            .try_fold(number.bytes(), |product, &size| product.checked_mul(size))
            .and_then(|product| u64::try_from(product).ok());
        if expected != Some(bytes) {
            return invalid_shape(format!(
                "has {bytes} bytes of elements, which is not what its shape {shape:?} of {} takes",
                number.name()
            ));
        }
        Ok(Self { name, number, shape, location })
    }

    /// Checks that there are samples and elements; the methods below rely on it.
    pub(super) fn check_shape(&self) -> Result<(), Rejection> {
        let Self { name, shape, .. } = self;
        let invalid_shape = |what: String| Err(invalid(format!("`{name}` {what}.")).at(name));
        if shape.is_empty() {
            return invalid_shape("is a single number; the samples must be counted by its first dimension".to_owned());
        }
        if shape.contains(&0) {
            return invalid_shape(format!("is empty: its shape is {shape:?}; every dimension must be at least 1"));
        }
        if shape[0] > MAX_SAMPLES {
            return invalid_shape(format!("has {} samples; at most {MAX_SAMPLES} are read", shape[0]));
        }
        Ok(())
    }

    /// The number of samples.
    pub(super) fn samples(&self) -> usize {
        self.shape[0]
    }

    /// The shape of one sample.
    pub(super) fn sample_shape(&self) -> &[usize] {
        &self.shape[1..]
    }

    /// Elements of one sample.
    pub(super) fn sample_elements(&self) -> usize {
        self.sample_shape().iter().product()
    }

    /// Reads the whole array and gives its elements piece by piece, each with the index of its first element.
    pub(super) fn for_each_piece(
        &self,
        file: &Arc<File>,
        mut use_piece: impl FnMut(usize, &[u8]) -> Result<(), Rejection>,
    ) -> Result<(), Rejection> {
        let elements = self.samples() * self.sample_elements();
        let per_piece = PIECE / self.number.bytes();
        let mut reader = self.reader(file)?;
        let mut piece = vec![0; PIECE];
        let mut first = 0;
        while first < elements {
            let count = per_piece.min(elements - first);
            let bytes = &mut piece[..count * self.number.bytes()];
            reader.read_exact(bytes).map_err(|error| self.unreadable(&error))?;
            use_piece(first, bytes)?;
            first += count;
        }
        self.finish(reader)
    }

    /// A reader of the elements. Reading past the last one checks the sum of a zip member.
    pub(super) fn reader(&self, file: &Arc<File>) -> Result<Box<dyn Read>, Rejection> {
        match self.location {
            Location::Plain { offset, length } => Ok(Box::new(Region::new(file, offset, length))),
            Location::Member { header, .. } => {
                let mut reader = self.location.reader(file);
                io::copy(&mut reader.by_ref().take(header), &mut io::sink())
                    .map_err(|error| self.unreadable(&error))?;
                Ok(reader)
            }
        }
    }

    /// Fails unless the reader ends here.
    pub(super) fn finish(&self, mut reader: Box<dyn Read>) -> Result<(), Rejection> {
        match reader.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(invalid(format!("`{}` goes on after its last element.", self.name)).at(&self.name)),
            Err(error) => Err(self.unreadable(&error)),
        }
    }

    /// The refusal of an array that could not be read.
    pub(super) fn unreadable(&self, error: &io::Error) -> Rejection {
        invalid(format!("`{}` could not be read: {error}.", self.name)).at(&self.name)
    }
}

impl Location {
    /// Where the elements begin in the file; `None` when they are packed.
    pub(super) fn start(&self) -> Option<u64> {
        match *self {
            Self::Plain { offset, .. } => Some(offset),
            Self::Member { offset, deflated: false, header, .. } => Some(offset + header),
            Self::Member { deflated: true, .. } => None,
        }
    }

    /// A reader from the first byte, an `.npy` header included.
    pub(super) fn reader(&self, file: &Arc<File>) -> Box<dyn Read> {
        match *self {
            Self::Plain { offset, length } => Box::new(Region::new(file, offset, length)),
            Self::Member { offset, packed_size, size, deflated, crc32, .. } => {
                let region = io::BufReader::with_capacity(PIECE, Region::new(file, offset, packed_size));
                let packed: Box<dyn Read> =
                    if deflated { Box::new(DeflateDecoder::new(region)) } else { Box::new(region) };
                Box::new(Summed { inner: packed, remaining: size, crc: Crc::new(), expected: crc32 })
            }
        }
    }
}

/// A part of a file, read without moving the file's own position, so that readers do not disturb each other.
struct Region {
    file: Arc<File>,
    position: u64,
    end: u64,
}

impl Region {
    fn new(file: &Arc<File>, offset: u64, length: u64) -> Self {
        Self { file: Arc::clone(file), position: offset, end: offset.saturating_add(length) }
    }
}

impl Read for Region {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(self.end - self.position).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(rest);
        let count = self.file.read_at(&mut buffer[..wanted], self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}

/// Reads exactly the bytes of a zip member's header, then checks that it ends there and that its CRC-32 is right.
struct Summed {
    inner: Box<dyn Read>,
    remaining: u64,
    crc: Crc,
    expected: u32,
}

impl Read for Summed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.remaining == 0 {
            return self.check_end().map(|()| 0);
        }
        let wanted = buffer.len().min(usize::try_from(self.remaining).unwrap_or(usize::MAX));
        let count = self.inner.read(&mut buffer[..wanted])?;
        if count == 0 && wanted > 0 {
            return Err(io::Error::other(format!("it ends {} bytes early", self.remaining)));
        }
        self.crc.update(&buffer[..count]);
        self.remaining -= count as u64;
        Ok(count)
    }
}

impl Summed {
    fn check_end(&mut self) -> io::Result<()> {
        if self.inner.read(&mut [0])? != 0 {
            return Err(io::Error::other("it unpacks to more bytes than its header says"));
        }
        if self.crc.sum() != self.expected {
            return Err(io::Error::other("its checksum is wrong"));
        }
        Ok(())
    }
}

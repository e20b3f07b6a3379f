//! A part of a file, and bytes that are unpacked on the way; both can pass over what is not wanted.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crate::untrusted::tar::Stream;

/// A part of a file, read without moving the file's own position, so that threads do not disturb each other.
#[derive(Debug, Clone)]
pub struct Region {
    file: Arc<File>,
    start: u64,
    length: u64,
    position: u64,
}

impl Region {
    /// `length` bytes from `start`.
    pub(super) fn new(file: &Arc<File>, start: u64, length: u64) -> Self {
        Self { file: Arc::clone(file), start, length, position: 0 }
    }

    /// The whole file.
    pub(super) fn whole(file: &Arc<File>) -> io::Result<Self> {
        Ok(Self::new(file, 0, file.metadata()?.len()))
    }

    /// Where a part of it begins.
    pub(super) fn offset_of(&self, part: &Self) -> u64 {
        part.start - self.start
    }

    /// Its size in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// A part of it, which ends where it ends.
    #[must_use]
    pub fn part(&self, start: u64, length: u64) -> Self {
        let start = start.min(self.length);
        Self::new(&self.file, self.start + start, length.min(self.length - start))
    }
}

impl Read for Region {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.length.saturating_sub(self.position);
        let wanted = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let count = self.file.read_at(&mut buffer[..wanted], self.start + self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for Region {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(offset) => self.length.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = position.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.position)
    }
}

impl Stream for Region {
    fn pass(&mut self, count: u64) -> io::Result<()> {
        self.position = self.position.saturating_add(count);
        Ok(())
    }
}

/// Unpacked bytes, of which there may be so many.
pub(super) struct Unpacked<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Unpacked<R> {
    pub(super) fn new(inner: R, most: u64) -> Self {
        Self { inner, left: most }
    }
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.left = self
            .left
            .checked_sub(count as u64)
            .ok_or_else(|| io::Error::other("it unpacks to more than a hundred times its size"))?;
        Ok(count)
    }
}

impl<R: Read> Stream for Unpacked<R> {
    fn pass(&mut self, count: u64) -> io::Result<()> {
        match io::copy(&mut self.by_ref().take(count), &mut io::sink())? {
            passed if passed < count => Err(io::Error::other("it ends before its last member does")),
            _ => Ok(()),
        }
    }
}

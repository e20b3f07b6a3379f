//! The bytes of a pickle, from front to back.

use std::io::{self, BufRead, ErrorKind};

/// A stream that counts what was read of it.
#[derive(Debug)]
pub(super) struct PickleStream<R> {
    source: R,
    position: u64,
}

impl<R: BufRead> PickleStream<R> {
    /// A stream of which nothing was read.
    pub(super) fn new(source: R) -> Self {
        Self { source, position: 0 }
    }

    /// Bytes that were read.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Whether no byte is left.
    pub(super) fn is_at_end(&mut self) -> io::Result<bool> {
        Ok(self.source.fill_buf()?.is_empty())
    }

    /// Reads as many bytes as `buffer` has.
    pub(super) fn fill(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        self.source.read_exact(buffer)?;
        self.position += buffer.len() as u64;
        Ok(())
    }

    /// Reads a fixed number of bytes.
    pub(super) fn array<const LENGTH: usize>(&mut self) -> io::Result<[u8; LENGTH]> {
        let mut bytes = [0; LENGTH];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads one byte.
    pub(super) fn byte(&mut self) -> io::Result<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// The bytes before the next newline, which is read too. `None` when there are more than `limit`.
    pub(super) fn line(&mut self, limit: usize) -> io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        loop {
            match self.byte()? {
                b'\n' => return Ok(Some(line)),
                _ if line.len() == limit => return Ok(None),
                byte => line.push(byte),
            }
        }
    }

    /// Passes over a text and says whether it is UTF-8.
    pub(super) fn skip_text(&mut self, length: u32) -> io::Result<bool> {
        const LONGEST_CHARACTER: usize = 4;
        let mut piece = [0; 4096];
        let mut rest = length as usize;
        // Bytes of a character that is not complete, at the start of `piece`.
        let mut begun = 0;
        while rest > 0 {
            let count = rest.min(piece.len() - begun);
            self.fill(&mut piece[begun..begun + count])?;
            rest -= count;
            let read = begun + count;
            begun = match std::str::from_utf8(&piece[..read]) {
                Ok(_) => 0,
                Err(error) if error.error_len().is_none() && read - error.valid_up_to() < LONGEST_CHARACTER => {
                    piece.copy_within(error.valid_up_to()..read, 0);
                    read - error.valid_up_to()
                }
                Err(_) => return Ok(false),
            };
        }
        Ok(begun == 0)
    }
}

/// Whether the stream ended before what was wanted of it.
pub(super) fn is_cut_off(error: &io::Error) -> bool {
    error.kind() == ErrorKind::UnexpectedEof
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_checked_across_the_pieces_in_which_it_is_read() {
        for character in ["a", "é", "モ", "😀"] {
            for offset in 0..4 {
                let text = format!("{}{}", "a".repeat(offset), character.repeat(3000));
                let mut input = PickleStream::new(text.as_bytes());
                assert!(input.skip_text(text.len() as u32).unwrap());
                assert!(input.is_at_end().unwrap());

                let cut = text.len() - 1;
                let is_whole = text.is_char_boundary(cut);
                assert_eq!(PickleStream::new(text.as_bytes()).skip_text(cut as u32).unwrap(), is_whole);
            }
        }
        let mut broken = "é".repeat(5000).into_bytes();
        broken[7001] = b'a';
        assert!(!PickleStream::new(broken.as_slice()).skip_text(10_000).unwrap());
    }

    #[test]
    fn a_text_that_is_longer_than_the_stream_is_cut_off() {
        let error = PickleStream::new(&b"abc"[..]).skip_text(u32::MAX).unwrap_err();
        assert!(is_cut_off(&error));
    }
}

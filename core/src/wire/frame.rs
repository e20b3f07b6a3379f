//! Frames: a little-endian `u32` length and that many bytes of JSON.

use std::io::{self, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// No frame is longer: 64 MiB.
pub const MAX_FRAME: u32 = 64 << 20;

/// Writes one frame.
///
/// # Errors
/// The message is longer than [`MAX_FRAME`], or the writer failed.
pub fn write_frame<T: Serialize>(writer: &mut impl Write, message: &T) -> io::Result<()> {
    let bytes = serde_json::to_vec(message)?;
    let length = u32::try_from(bytes.len()).ok().filter(|&length| length <= MAX_FRAME);
    let length = length.ok_or_else(|| io::Error::other(format!("a frame of {} bytes is too long", bytes.len())))?;
    writer.write_all(&length.to_le_bytes())?;
    writer.write_all(&bytes)?;
    writer.flush()
}

/// Reads one frame; `None` when the other side closed between frames.
///
/// # Errors
/// The frame is longer than [`MAX_FRAME`] or is not the JSON of a `T`, the reader failed, or it ended inside the frame.
pub fn read_frame<T: DeserializeOwned>(reader: &mut impl Read) -> io::Result<Option<T>> {
    let mut length = [0; 4];
    match reader.read_exact(&mut length) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let length = u32::from_le_bytes(length);
    if length > MAX_FRAME {
        return Err(io::Error::other(format!(
            "a frame of {length} bytes is announced, at most {MAX_FRAME} are allowed"
        )));
    }
    let mut bytes = vec![0; length as usize];
    reader.read_exact(&mut bytes)?;
    Ok(Some(serde_json::from_slice(&bytes)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::message::EngineMessage;

    #[test]
    fn a_frame_reads_back_as_it_was_written() {
        let message = EngineMessage::Log { message: "ünïcode\n".to_owned() };
        let mut bytes = Vec::new();
        write_frame(&mut bytes, &message).unwrap();
        write_frame(&mut bytes, &message).unwrap();
        let mut reader = bytes.as_slice();
        assert_eq!(read_frame::<EngineMessage>(&mut reader).unwrap(), Some(message.clone()));
        assert_eq!(read_frame::<EngineMessage>(&mut reader).unwrap(), Some(message));
        assert_eq!(read_frame::<EngineMessage>(&mut reader).unwrap(), None);
    }

    #[test]
    fn a_frame_that_announces_too_much_is_refused_before_it_is_allocated() {
        let mut bytes = &(MAX_FRAME + 1).to_le_bytes()[..];
        assert!(read_frame::<EngineMessage>(&mut bytes).is_err());
    }
}

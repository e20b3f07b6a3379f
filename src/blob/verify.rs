//! Bytes that are compared with their digest on the way out: a store may rot, and so may a disk.

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};

use super::{BlobError, BlobKey};
use crate::digest::{Hasher, Sha256};

struct Reading {
    pieces: BoxStream<'static, Result<Bytes, BlobError>>,
    /// The piece that came last: it is kept back until it is known whether all are right.
    held: Option<Bytes>,
    hasher: Hasher,
}

/// The pieces of a whole blob. When they do not have the digest that was recorded, the last one does not come but an error.
pub(super) fn verified(
    key: BlobKey,
    pieces: BoxStream<'static, Result<Bytes, BlobError>>,
    expected: Sha256,
) -> BoxStream<'static, Result<Bytes, BlobError>> {
    let reading = Reading { pieces, held: None, hasher: Hasher::default() };
    stream::try_unfold(Some(reading), move |reading| {
        let key = key.clone();
        async move {
            let Some(mut reading) = reading else { return Ok(None) };
            loop {
                let Some(piece) = reading.pieces.try_next().await? else {
                    compare(&key, reading.hasher.finish(), expected)?;
                    return Ok(reading.held.map(|last| (last, None)));
                };
                reading.hasher.update(&piece);
                if let Some(before) = reading.held.replace(piece) {
                    return Ok(Some((before, Some(reading))));
                }
            }
        }
    })
    .boxed()
}

/// Refuses bytes that are not those that were recorded.
pub(super) fn compare(key: &BlobKey, found: Sha256, expected: Sha256) -> Result<(), BlobError> {
    if found == expected {
        return Ok(());
    }
    tracing::error!(blob = %key, %expected, %found, "a blob is damaged");
    Err(BlobError::Damaged { key: key.to_string(), expected, found })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::JobId;

    async fn read(pieces: &[&'static [u8]], expected: &[u8]) -> (Vec<u8>, Result<(), BlobError>) {
        let pieces: Vec<_> = pieces.iter().map(|piece| Ok(Bytes::from_static(piece))).collect();
        let key = BlobKey::everything_of(JobId::generate());
        let mut verified = verified(key, stream::iter(pieces).boxed(), Sha256::of(expected));
        let mut bytes = Vec::new();
        loop {
            match verified.try_next().await {
                Ok(Some(piece)) => bytes.extend_from_slice(&piece),
                Ok(None) => return (bytes, Ok(())),
                Err(error) => return (bytes, Err(error)),
            }
        }
    }

    #[tokio::test]
    async fn what_is_right_comes_whole_and_what_is_not_lacks_its_end() {
        let (bytes, end) = read(&[b"ab", b"cd", b"e"], b"abcde").await;
        assert_eq!((bytes.as_slice(), end.is_ok()), (b"abcde".as_slice(), true));
        let (bytes, end) = read(&[b"ab", b"cd", b"x"], b"abcde").await;
        assert_eq!(bytes, b"abcd");
        assert!(matches!(end, Err(BlobError::Damaged { .. })), "{end:?}");
        let (bytes, end) = read(&[], b"").await;
        assert!(bytes.is_empty() && end.is_ok());
    }
}

//! Staging: an upload on its way in. It is written to a file while it is hashed and never held in memory; the file
//! deletes itself unless it becomes a blob, so a client that hangs up leaves nothing.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use tempfile::TempPath;
use tokio::io::AsyncWriteExt;

use super::{Disk, is_full};
use crate::digest::{Hasher, Sha256};

/// The disk is looked at again whenever so much more has come.
const BETWEEN_LOOKS: u64 = 8 << 20;

/// The folder of uploads on their way in, and its limits.
#[derive(Debug, Clone)]
pub struct Staging {
    folder: PathBuf,
    max_bytes: u64,
    disk: Disk,
}

/// An upload that has arrived.
#[derive(Debug)]
pub struct Staged {
    pub path: TempPath,
    pub sha256: Sha256,
    pub bytes: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum StagingError<E> {
    #[error("the upload is longer than {max_bytes} bytes")]
    TooLarge { max_bytes: u64 },
    #[error("no space left for the upload")]
    Full,
    /// The body ended before its time, came too slowly, or was malformed.
    #[error("the upload broke off")]
    Broken(E),
    #[error("staging: {0}")]
    Io(std::io::Error),
}

impl Staging {
    /// Empties the folder: whatever is in it belongs to a process that is gone.
    pub fn open(folder: &Path, max_bytes: u64, reserve_bytes: u64) -> std::io::Result<Self> {
        match std::fs::remove_dir_all(folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => std::fs::create_dir_all(folder)?,
        }
        Ok(Self { folder: folder.to_owned(), max_bytes, disk: Disk::new(folder, reserve_bytes) })
    }

    pub fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// The disk that uploads go to.
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Receives an upload of which the length may be known beforehand.
    pub async fn receive<E>(
        &self,
        announced: Option<u64>,
        mut body: impl Stream<Item = Result<Bytes, E>> + Unpin,
    ) -> Result<Staged, StagingError<E>> {
        self.check_space(announced.unwrap_or(0))?;
        let (file, path) = tempfile::NamedTempFile::new_in(&self.folder).map_err(from_io)?.into_parts();
        let mut file = tokio::fs::File::from_std(file);
        let mut hasher = Hasher::default();
        let mut bytes = 0;
        let mut next_look = BETWEEN_LOOKS;
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(StagingError::Broken)?;
            bytes += chunk.len() as u64;
            if bytes > self.max_bytes {
                return Err(StagingError::TooLarge { max_bytes: self.max_bytes });
            }
            hasher.update(&chunk);
            file.write_all(&chunk).await.map_err(from_io)?;
            if bytes >= next_look {
                // Others write too, and a length need not be announced.
                self.check_room(0)?;
                next_look = bytes + BETWEEN_LOOKS;
            }
        }
        file.flush().await.map_err(from_io)?;
        self.check_room(0)?;
        Ok(Staged { path, sha256: hasher.finish(), bytes })
    }

    /// Refuses early what cannot fit, so that it is not sent in vain.
    fn check_space<E>(&self, announced: u64) -> Result<(), StagingError<E>> {
        if announced > self.max_bytes {
            return Err(StagingError::TooLarge { max_bytes: self.max_bytes });
        }
        self.check_room(announced)
    }

    fn check_room<E>(&self, bytes: u64) -> Result<(), StagingError<E>> {
        match self.disk.has_room_for(bytes).map_err(from_io)? {
            true => Ok(()),
            false => Err(StagingError::Full),
        }
    }
}

fn from_io<E>(error: std::io::Error) -> StagingError<E> {
    if is_full(&error) { StagingError::Full } else { StagingError::Io(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECE: usize = 4 << 20;

    /// So many pieces of an upload of which the length is not announced.
    async fn receive(staging: &Staging, pieces: usize) -> Result<Staged, StagingError<std::io::Error>> {
        let body = futures::stream::iter((0..pieces).map(|_| Ok(Bytes::from(vec![0; PIECE]))));
        staging.receive(None, body).await
    }

    #[tokio::test]
    async fn an_upload_that_reaches_the_reserve_on_its_way_is_refused_and_leaves_nothing() {
        // In memory, so that nobody else's files come and go on the disk meanwhile.
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        let free = Disk::new(folder.path(), 0).space().unwrap().free_bytes;
        let reserve = free - 20 * PIECE as u64 / 4;
        let staging = Staging::open(&folder.path().join("staging"), u64::MAX, reserve).unwrap();
        receive(&staging, 1).await.unwrap();
        let refused = receive(&staging, 16).await;
        assert!(matches!(refused, Err(StagingError::Full)), "{refused:?}");
        assert_eq!(std::fs::read_dir(folder.path().join("staging")).unwrap().count(), 0);
    }
}

//! Staging: an upload on its way in. It is written to a file while it is hashed and never held in memory; the file
//! deletes itself unless it becomes a blob, so a client that hangs up leaves nothing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use tempfile::TempPath;
use tokio::io::AsyncWriteExt;

use super::is_full;
use crate::digest::{Hasher, Sha256};

/// A client that sends nothing for this long has hung up.
const LONGEST_SILENCE: Duration = Duration::from_secs(60);

/// The folder of uploads on their way in, and its limits.
#[derive(Debug, Clone)]
pub struct Staging {
    folder: PathBuf,
    max_bytes: u64,
    reserve_bytes: u64,
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
    #[error("nothing came for {} seconds", LONGEST_SILENCE.as_secs())]
    Stalled,
    /// The body ended before its time, or was malformed.
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
        Ok(Self { folder: folder.to_owned(), max_bytes, reserve_bytes })
    }

    pub fn max_bytes(&self) -> u64 {
        self.max_bytes
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
        loop {
            let chunk = tokio::time::timeout(LONGEST_SILENCE, body.next()).await;
            let Some(chunk) = chunk.map_err(|_| StagingError::Stalled)? else { break };
            let chunk = chunk.map_err(StagingError::Broken)?;
            bytes += chunk.len() as u64;
            if bytes > self.max_bytes {
                return Err(StagingError::TooLarge { max_bytes: self.max_bytes });
            }
            hasher.update(&chunk);
            file.write_all(&chunk).await.map_err(from_io)?;
        }
        file.flush().await.map_err(from_io)?;
        Ok(Staged { path, sha256: hasher.finish(), bytes })
    }

    /// Refuses early what cannot fit, so that it is not sent in vain.
    fn check_space<E>(&self, announced: u64) -> Result<(), StagingError<E>> {
        if announced > self.max_bytes {
            return Err(StagingError::TooLarge { max_bytes: self.max_bytes });
        }
        let disk = rustix::fs::statvfs(&self.folder).map_err(|errno| from_io(errno.into()))?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        if free < announced.saturating_add(self.reserve_bytes) {
            return Err(StagingError::Full);
        }
        Ok(())
    }
}

fn from_io<E>(error: std::io::Error) -> StagingError<E> {
    if is_full(&error) { StagingError::Full } else { StagingError::Io(error) }
}
